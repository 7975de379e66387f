"""Checks values in label JSONs that people and programs write."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float64

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.photo_label import Size

_FARTHEST = 1e6
"""Coordinates beyond this, in pixels, are mistakes, not points a little outside the photo."""


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether this is a whole number (True and False are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def read_size(entry: dict, keys: tuple[str, str], where: str) -> Size:
    """Width and height under two keys; some programs write them as 800.0.

    Raises:
        UserError: one is missing or not a whole number above 0.
    """
    width, height = (_without_fraction(entry.get(key)) for key in keys)
    if not is_whole(width) or not is_whole(height) or min(width, height) <= 0:
        raise UserError(
            f"{where} has {keys[0]} {width!r} and {keys[1]} {height!r}: expected the photo's size in pixels. Save "
            "the labels again with the program they were drawn in."
        )
    return width, height


def _without_fraction(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_points(values: Any, where: str) -> Float64[np.ndarray, "points 2"]:
    """Points as a list of [x, y].

    Raises:
        UserError: they are not pairs of numbers, or not finite.
    """
    try:
        points = np.array(values)
    except ValueError:  # lists of different lengths
        points = np.empty(0, dtype=object)
    if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind not in "iuf":
        raise UserError(f"{where} has points that are not pairs of numbers [x, y].")
    far = ~(np.abs(points) < _FARTHEST)
    if far.any():
        x, y = points[far.any(axis=1)][0].tolist()
        raise UserError(f"{where} has a point at ({x:g}, {y:g}), which is neither on nor near a photo.")
    return points.astype(np.float64)
