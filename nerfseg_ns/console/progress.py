"""Progress of the long steps on nerfstudio's console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that is gone when the block ends.

    Args:
        what: is done, in a few words.
        total: number of things to do.

    Yields:
        To be called with the number of things done so far.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not CONSOLE.is_terminal  # in a file, bars are but empty lines
    with Progress(*columns, TimeRemainingColumn(), console=CONSOLE, transient=True, disable=hidden) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def say(text: str) -> None:
    """Prints a line as it is."""
    CONSOLE.print(text, markup=False, highlight=False)
