"""Choosing some of many, evenly."""

from __future__ import annotations


def evenly_spaced_indices(count: int, wanted: int, *, with_ends: bool = False) -> list[int]:
    """So many of `count` positions, evenly spread; all of them where they are no more.

    Args:
        count: of positions.
        wanted: of indices; with the ends at least two.
        with_ends: the first and the last are among them; otherwise they keep away from both.
    """
    if wanted >= count:
        return list(range(count))
    if with_ends:
        return [round(index * (count - 1) / (wanted - 1)) for index in range(wanted)]
    return [int((index + 0.5) * count / wanted) for index in range(wanted)]
