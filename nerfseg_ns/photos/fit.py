"""Similarities that carry points onto their known places, whatever a minority of these says.

Two kinds: in space, and with up given, where only heading, scale and place are left to find, in plan. Residuals are
counted in the places' own standard deviations where these are known, so that good positions are not thrown out for bad
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Optional

import numpy as np
from jaxtyping import Bool, Float64

TRIALS = 500
"""Smallest sets of positions that are tried for a robust fit."""
OUTLIER = 3.0
"""A position farther off than this many times the median is left out."""
FEWEST = 3
"""Positions that are always kept."""

Positions = Float64[np.ndarray, "n 3"]
Values = Float64[np.ndarray, " n"]
Used = Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Similarity:
    """`scale * rotation @ point + translation`."""

    scale: float
    rotation: Float64[np.ndarray, "3 3"]
    translation: Float64[np.ndarray, " 3"]

    def __call__(self, points: Positions) -> Positions:
        """The points carried over."""
        return self.scale * points @ self.rotation.T + self.translation

    @property
    def up(self) -> Float64[np.ndarray, " 3"]:
        """What becomes z, a unit vector in the axes of the points."""
        return self.rotation[2]


def fit_space(
    points: Positions, places: Positions, deviations: Values, seed: int, tolerance: float
) -> Optional[tuple[Similarity, Used]]:
    """The similarity in space that most places agree with.

    Args:
        points: in the reconstruction's units.
        places: of the points, metres.
        deviations: of the places, metres, or all 1.
        seed: of the random trials.
        tolerance: distance, in the reconstruction's units, that is never too far off.

    Returns:
        The similarity and the places that it was made of; None if the places are all one.
    """

    def solve(chosen: Used | list[int]) -> Optional[Similarity]:
        return _procrustes(points[chosen], places[chosen], deviations[chosen] ** -2)

    def off(similarity: Similarity) -> Values:
        return np.linalg.norm(similarity(points) - places, axis=1)

    return _robust(solve, off, deviations, _subsets(len(points), 3, seed), tolerance)


def fit_plan(
    points: Positions, places: Positions, deviations: Values, up: Float64[np.ndarray, " 3"], seed: int, tolerance: float
) -> Optional[tuple[Similarity, Used]]:
    """As `fit_space`, with z along a given direction; the heights of the places have no say and z is left at 0."""
    upright = _upright(up)
    level = points @ upright.T
    flat, ground = level * (1.0, 1.0, 0.0), places * (1.0, 1.0, 0.0)

    def solve(chosen: Used | list[int]) -> Optional[Similarity]:
        turned = _turned(flat[chosen], ground[chosen], deviations[chosen] ** -2)
        if turned is None:
            return None
        return Similarity(turned.scale, turned.rotation @ upright, turned.translation)

    def off(similarity: Similarity) -> Values:
        return np.linalg.norm((similarity(points) - places)[:, :2], axis=1)

    return _robust(solve, off, deviations, _subsets(len(points), 2, seed), tolerance)


def spread(points: Positions) -> Float64[np.ndarray, "3"]:
    """Standard deviations along the principal axes, the largest first."""
    return np.linalg.svd(points - points.mean(axis=0), compute_uv=False) / np.sqrt(len(points))


def turn_about_line(similarity: Similarity, points: Positions, up: Float64[np.ndarray, " 3"]) -> Similarity:
    """Turns what a similarity makes of points about the line that they lie near, until `up` is as upright as can be."""
    carried = similarity(points)
    middle = carried.mean(axis=0)
    line = np.linalg.svd(carried - middle, full_matrices=False)[2][0]
    across = np.eye(3) - np.outer(line, line)
    wanted, given = across[2], across @ similarity.rotation @ up
    turn = np.arctan2(np.cross(given, wanted) @ line, given @ wanted)
    cross = np.array([[0, -line[2], line[1]], [line[2], 0, -line[0]], [-line[1], line[0], 0]])
    rotation = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
    return Similarity(
        similarity.scale, rotation @ similarity.rotation, rotation @ (similarity.translation - middle) + middle
    )


def _robust(
    solve: Callable[[Used | list[int]], Optional[Similarity]],
    off: Callable[[Similarity], Values],
    deviations: Values,
    subsets: Iterable[list[int]],
    tolerance: float,
) -> Optional[tuple[Similarity, Used]]:
    """The least median of residuals over the smallest sets, then refined with all that agree."""
    best, least = None, np.inf
    for subset in subsets:
        similarity = solve(subset)
        if similarity is None:
            continue
        median = float(np.median(off(similarity) / deviations))
        if median < least:
            best, least = similarity, median
    if best is None:
        return None
    used = np.zeros(len(deviations), bool)
    for _ in range(20):
        before, used = used, _near(off(best) / deviations, tolerance * best.scale / deviations)
        if (used == before).all():
            break
        refined = solve(used)
        if refined is None:
            return None
        best = refined
    return best, used


def _near(residuals: Values, allowed: Values) -> Used:
    """Positions within a few times the median or what is allowed, and never fewer than the nearer half."""
    least = min(max(FEWEST, len(residuals) // 2 + 1), len(residuals))
    return (residuals <= max(OUTLIER * np.median(residuals), np.sort(residuals)[least - 1])) | (residuals <= allowed)


def _subsets(count: int, size: int, seed: int) -> list[list[int]]:
    if comb(count, size) <= TRIALS:
        return [list(subset) for subset in combinations(range(count), size)]
    rng = np.random.default_rng(seed)
    return [rng.choice(count, size, replace=False).tolist() for _ in range(TRIALS)]


def _procrustes(points: Positions, places: Positions, weights: Values) -> Optional[Similarity]:
    """Umeyama's closed form, weighted."""
    weights = weights / weights.sum()
    middle, centre = weights @ points, weights @ places
    around, about = points - middle, places - centre
    left, values, right = np.linalg.svd((weights[:, None] * about).T @ around)
    size = float(weights @ (around**2).sum(axis=1))
    if not (size > 0 and values[0] > 1e-12 * size):
        return None
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation, scale = (left * signs) @ right, float(values @ signs) / size
    return Similarity(scale, rotation, centre - scale * rotation @ middle) if scale > 0 else None


def _turned(points: Positions, places: Positions, weights: Values) -> Optional[Similarity]:
    """The similarity in plan, weighted: complex numbers have it in one line."""
    weights = weights / weights.sum()
    middle, centre = weights @ points, weights @ places
    (x, y, _), (e, n, _) = (points - middle).T, (places - centre).T
    around, about = x + 1j * y, e + 1j * n
    size = float(weights @ np.abs(around) ** 2)
    factor = complex(weights @ (around.conj() * about)) / size if size > 0 else 0j
    if not abs(factor) > 1e-12:
        return None
    cos, sin = factor.real / abs(factor), factor.imag / abs(factor)
    rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    scale = abs(factor)
    return Similarity(scale, rotation, (centre - scale * rotation @ middle) * (1.0, 1.0, 0.0))


def _upright(up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """A rotation that takes `up` to z."""
    axis = np.eye(3)[np.argmin(np.abs(up))]
    x = np.cross(axis, up)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up])
