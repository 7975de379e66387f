"""Choosing some of many, evenly."""

from __future__ import annotations


def evenly_spaced_indices(count: int, wanted: int) -> list[int]:
    """So many of `count` positions, evenly spread and away from the ends; all of them where they are no more."""
    return [int((index + 0.5) * count / wanted) for index in range(wanted)] if wanted < count else list(range(count))
