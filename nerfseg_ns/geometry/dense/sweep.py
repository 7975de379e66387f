"""Plane sweep (Collins, CVPR 1996): how well a photo's neighbours fit it, at each of many heights."""

from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from nerfseg_ns.geometry.dense.slab import Slab
from nerfseg_ns.geometry.dense.views import PinholeView

WINDOWS = (3, 7)
"""Widths of the windows in which photos are compared, pixels; their mean counts. Small ones keep borders, larger ones
are surer."""
NOISE = 4.0
"""Least variance of brightness that counts as texture."""
OUTSIDE = -1e4
"""Brightness beyond a photo's border."""
REACH = np.ones((max(WINDOWS), max(WINDOWS)), np.uint8)
"""Of the largest window."""
UNSEEN = -2.0
"""Correlation with a photo that does not see the place."""


def match_costs(
    view: PinholeView, others: Sequence[PinholeView], slab: Slab, heights: Float[np.ndarray, "levels"]
) -> Float[np.ndarray, "levels height width"]:
    """One minus the normalised cross-correlation with the neighbours: the mean of the best two, others may be hidden.

    Args:
        view: the photo.
        others: its neighbours.
        slab: whose up direction the heights are along.
        heights: above the ground, to try.

    Returns:
        0 for equal photos, 1 for unlike ones, 2 at the most, also where no neighbour sees the place.
    """
    windows = [_Window(view.grey, width) for width in WINDOWS]
    shown = [np.where(other.valid, other.grey, OUTSIDE).astype(np.float32) for other in others]
    costs = np.empty((len(heights), *view.grey.shape), np.float32)
    for level, height in enumerate(heights):
        first = np.full(view.grey.shape, UNSEEN, np.float32)
        second = first.copy()
        for other, grey in zip(others, shown):
            fits = _correlation(windows, view.grey, _seen_from(view, other, grey, slab, height))
            np.maximum(second, np.minimum(first, fits), out=second)
            np.maximum(first, fits, out=first)
        second = np.where(second == UNSEEN, first, second)
        np.minimum(1 - (first + second) / 2, 2, out=costs[level])
    return costs


class _Window:
    """Mean and variance of a photo in a window around each pixel."""

    def __init__(self, grey: Float[np.ndarray, "height width"], width: int) -> None:
        self.width = width
        self.mean = self.blur(grey)
        self.variance = np.maximum(self.blur(grey * grey) - self.mean**2, NOISE)

    def blur(self, image: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
        return cv2.boxFilter(image, -1, (self.width, self.width), borderType=cv2.BORDER_REFLECT)


def _correlation(
    windows: Sequence[_Window], grey: Float[np.ndarray, "height width"], other: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    product, square, total = grey * other, other * other, np.zeros_like(grey)
    outside = cv2.dilate((other < 0).view(np.uint8), REACH) > 0
    for window in windows:
        mean = window.blur(other)
        variance = np.maximum(window.blur(square) - mean**2, NOISE)
        total += (window.blur(product) - mean * window.mean) / np.sqrt(variance * window.variance)
    total /= len(windows)
    total[outside] = UNSEEN
    return total


def _seen_from(
    view: PinholeView, other: PinholeView, grey: Float[np.ndarray, "rows columns"], slab: Slab, height: float
) -> Float[np.ndarray, "height width"]:
    """Another photo laid onto a plane at a height above the ground, as the view's camera sees that plane."""
    distance = height - slab.above(view.origin)  # along up
    ray = view.rotation @ np.linalg.inv(view.matrix)
    towards = ray * distance + np.outer(view.origin - other.origin, slab.up @ ray)
    homography = other.matrix @ other.rotation.T @ towards
    size = view.grey.shape[1], view.grey.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(grey, homography, size, flags=flags, borderValue=OUTSIDE)
