"""What has to be known of a scene before its photos are matched: the ground, and how high things may stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LOW, HIGH, GROUND = 0.005, 0.995, 0.1
"""Shares of the known points that lie below the lowest place, the highest, the ground."""
MARGIN = 1.3
"""Heights are looked for so much farther than known points reach."""
LEAST_RISE, LEAST_FALL = 0.35, 0.05
"""And at least so far above and below the ground, as shares of the cameras' height: trees have few known points."""
MOST_RISE = 0.8
"""But no farther up than so, as a share of a camera's height."""


@dataclass
class Slab:
    """Levels of the scene along its up direction."""

    up: Float[np.ndarray, "3"]
    """Of unit length."""
    ground: float
    """Level of the ground: places times up."""
    bottom: float
    """Of what is looked for, relative to the ground."""
    top: float
    """The same."""

    @staticmethod
    def around(
        points: Float[np.ndarray, "points 3"], origins: Float[np.ndarray, "cameras 3"], up: Float[np.ndarray, "3"]
    ) -> Slab:
        """Fits the levels.

        Args:
            points: of the scene, outliers allowed.
            origins: camera centres.
            up: of unit length.
        """
        low, ground, high = np.quantile(points @ up, [LOW, GROUND, HIGH])
        height = max(float(np.median(origins @ up - ground)), 1e-9)
        bottom = min(MARGIN * (low - ground), -LEAST_FALL * height)
        return Slab(up, float(ground), float(bottom), float(max(MARGIN * (high - ground), LEAST_RISE * height)))

    def above(self, points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
        """Heights above the ground."""
        return points @ self.up - self.ground

    def levels(self, camera_height: float, count: int) -> Float[np.ndarray, "levels"]:
        """Heights to try for a photo, from low to high: a step moves its neighbours' pixels equally far everywhere.

        Args:
            camera_height: above the ground; at least a little more than `bottom`.
            count: of heights.
        """
        top = min(self.top, MOST_RISE * camera_height)
        return camera_height - 1 / np.linspace(1 / (camera_height - self.bottom), 1 / (camera_height - top), count)
