"""What the comparison says while its jobs run: a line a running job and a bar in a terminal, plain lines in a log."""

from __future__ import annotations

import time
from typing import Dict

from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from nerfseg_ns.measurement.units import amount


class JobProgress:
    """A context within which jobs are told of.

    Args:
        total: jobs that will end, one way or another.
    """

    def __init__(self, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal)
        self._bar = self._progress.add_task("jobs", total=total)
        self._lines: Dict[str, TaskID] = {}
        self._starts: Dict[str, float] = {}
        self._ended, self._total = 0, total

    def __enter__(self) -> JobProgress:
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()

    def start(self, job: str) -> None:
        """A job's process has started."""
        self._starts[job] = time.perf_counter()
        self._lines[job] = self._progress.add_task(escape(job), total=None)
        if not CONSOLE.is_terminal:
            _say(f"{job} started")

    def end(self, job: str, outcome: str) -> None:
        """A job has ended, or will not be started.

        Args:
            job: its name.
            outcome: in a few words.
        """
        self._ended += 1
        if job in self._lines:
            self._progress.remove_task(self._lines.pop(job))
            outcome += f", {amount(time.perf_counter() - self._starts[job], 's')}"
        self._progress.update(self._bar, completed=self._ended)
        _say(f"[{self._ended}/{self._total}] {job}: {outcome}")


def _say(text: str) -> None:
    """Prints a line as it is, above the bars."""
    CONSOLE.print(text, markup=False, highlight=False, soft_wrap=True)
