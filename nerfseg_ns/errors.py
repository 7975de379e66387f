"""The one error type for bad input: what was sought, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class UserError(ValueError):
    """What a user gave cannot be used as it is: a scene, a run, an option.

    Each message names what was expected, the file or folder concerned and the remedy, so that it can be shown to the
    user as it stands.

    Args:
        problems: one message or several, if several things were found wrong at once.
    """

    SHOWN = 20
    """Messages that the text of the error shows; `problems` has them all."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__(*problems)

    def __str__(self) -> str:
        return self.text(self.SHOWN)

    def text(self, limit: int | None = None) -> str:
        """The message, or all of them numbered, at most `limit`."""
        if len(self.problems) == 1:
            return self.problems[0]
        shown = [f"{number}. {problem}" for number, problem in enumerate(self.problems[:limit], start=1)]
        more = len(self.problems) - len(shown)
        if more > 0:
            shown.append(f"... and {more} more; nerfseg check lists them all.")
        return "\n".join([f"{len(self.problems)} things are wrong:", *shown])


class ErrorCollector:
    """Collects what is wrong, so that a user hears of everything at once."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}  # a set that keeps its order: what two checks find is told once

    def add(self, error: UserError) -> None:
        """Notes an error."""
        self.found |= dict.fromkeys(error.problems)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Runs a block and notes the UserError that ends it, if one does."""
        try:
            yield
        except UserError as error:
            self.add(error)

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Applies a function to every item, notes the UserErrors and returns the results of the other items."""
        results = []
        for item in items:
            with self.collect():
                results.append(function(item))
        return results

    def raise_found(self) -> None:
        """Raises one UserError with all that was noted, if anything was."""
        if self.found:
            raise UserError(*self.found)
