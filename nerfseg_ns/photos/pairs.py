"""Which pairs of photos are worth comparing."""

from __future__ import annotations

from itertools import combinations
from typing import Literal, Optional

import numpy as np
from jaxtyping import Float64
from scipy.spatial import cKDTree

from nerfseg_ns.errors import UserError

EXHAUSTIVE_UP_TO = 60
"""Photos up to which `auto` compares all pairs."""
OVERLAP = 15
"""Neighbours by name on each side that sequential matching compares."""
NEAREST = 20
"""Neighbours by position that spatial matching compares."""
BESIDE = 2
"""Neighbours by name on each side that spatial matching adds, so that a wrong position does not cut a photo off."""

Pair = tuple[int, int]
Matching = Literal["exhaustive", "sequential", "spatial"]


def choose_matching(
    wanted: Literal["auto", "exhaustive", "sequential", "spatial"], photos: int, located: int
) -> Matching:
    """What `auto` stands for.

    Args:
        wanted: the option.
        photos: how many there are.
        located: how many of them have a GPS position that may be used.

    Raises:
        UserError: spatial matching was asked for, and there are no positions.
    """
    if wanted == "spatial" and located < 2:
        raise UserError(
            f"--matching spatial needs GPS positions: {located} of {photos} photos have one that may be used. Choose "
            "another matching, or leave out --no-use-gps."
        )
    if wanted != "auto":
        return wanted
    if photos <= EXHAUSTIVE_UP_TO:
        return "exhaustive"
    return "spatial" if 2 * located >= photos else "sequential"


def find_pairs(matching: Matching, positions: list[Optional[Float64[np.ndarray, " 3"]]]) -> list[Pair]:
    """The pairs to compare, as positions in the sorted list of photos.

    Args:
        matching: which.
        positions: of the photos in metres, in the order of their names; None where there is none.

    Returns:
        Sorted pairs (first, second) with first < second.
    """
    count = len(positions)
    if matching == "exhaustive":
        return list(combinations(range(count), 2))
    if matching == "sequential":
        return sorted(_sequential(range(count), count, OVERLAP) | _far_apart(count))
    located = [index for index in range(count) if positions[index] is not None]
    lost = [index for index in range(count) if positions[index] is None]
    near = _nearest(located, np.array([positions[index] for index in located]))
    return sorted(near | _sequential(range(count), count, BESIDE) | _sequential(lost, count, OVERLAP))


def _sequential(starts: list[int] | range, count: int, overlap: int) -> set[Pair]:
    """Pairs of some photos with their neighbours by name on both sides."""
    steps = [step for step in range(-overlap, overlap + 1) if step]
    return {_ordered(index, index + step) for index in starts for step in steps if 0 <= index + step < count}


def _far_apart(count: int) -> set[Pair]:
    """Pairs at doubling distances, which close the loops of a flight now and then."""
    distances = [1 << power for power in range(4, count.bit_length())]
    return {(index, index + step) for step in distances for index in range(count - step)}


def _nearest(located: list[int], positions: Float64[np.ndarray, "located 3"]) -> set[Pair]:
    """Pairs of each photo with those taken nearest to it."""
    wanted = min(NEAREST + 1, len(located))
    _, nearest = cKDTree(positions).query(positions, k=wanted)
    return {
        _ordered(located[row], located[other]) for row, others in enumerate(nearest) for other in others if other != row
    }


def _ordered(first: int, second: int) -> Pair:
    return min(first, second), max(first, second)
