"""What other photos say of a photo's heights."""

from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nerfseg_ns.geometry.dense.slab import Slab
from nerfseg_ns.geometry.dense.views import PinholeView


def places_at(
    view: PinholeView, heights: Float[np.ndarray, "height width"], slab: Slab
) -> Float[np.ndarray, "height width 3"]:
    """Where the pixels' rays are at these heights above the ground; NaN where they are not."""
    directions = view.directions()
    along = (heights - slab.above(view.origin)) / (directions @ slab.up)
    return view.origin + np.where(along > 0, along, np.nan)[..., None] * directions


def count_agreeing(
    places: Float[np.ndarray, "height width 3"],
    heights: Float[np.ndarray, "height width"],
    others: Sequence[tuple[PinholeView, Float[np.ndarray, "height width"]]],
    tolerance: float,
) -> tuple[UInt8[np.ndarray, "height width"], UInt8[np.ndarray, "height width"]]:
    """How many other photos have the same height at the same place, and how many have one there.

    Args:
        places: of a photo's pixels.
        heights: of the same above the ground.
        others: views with their heights, NaN where unknown.
        tolerance: of the heights.
    """
    agreeing, seeing = np.zeros(heights.shape, np.uint8), np.zeros(heights.shape, np.uint8)
    for other, known in others:
        pixels, ahead = other.project(places)
        pixels = np.where(np.isfinite(pixels), pixels, -1e6).clip(-1e6, 1e6).astype(np.float32)
        there = cv2.remap(known.astype(np.float32), pixels, None, cv2.INTER_NEAREST, borderValue=np.nan)
        there[~(ahead > 0)] = np.nan
        agreeing += np.abs(there - heights) <= tolerance
        seeing += np.isfinite(there)
    return agreeing, seeing
