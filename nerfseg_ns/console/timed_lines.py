"""What long commands say while they run: plain lines with the time, which stay readable in a log."""

from __future__ import annotations

import time

from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape

_START = time.perf_counter()


def say_timed(text: str) -> None:
    """Prints a line with the time since the start."""
    minutes, seconds = divmod(int(time.perf_counter() - _START), 60)
    CONSOLE.print(f"[dim]{minutes:3d}:{seconds:02d}[/dim]  {escape(text)}", soft_wrap=True, highlight=False)
