"""The surface of a scene as a raster of heights, and what it hides from whom."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.maps.grid import MapGrid

STEPS_TO_CAMERA = 24
TOLERANCE = 0.01
"""What stands higher than the line of sight by less than this share of the cameras' height hides nothing."""


class Surface:
    """Heights over a raster.

    Args:
        grid: where they are.
        heights: in the map's unit.
    """

    def __init__(self, grid: MapGrid, heights: Float[Tensor, "rows columns"]) -> None:
        self.grid, self.heights = grid, heights
        self.greatest = float(heights.max())

    def at(self, places: Float[ndarray, "points 2"]) -> Float[Tensor, "points"]:
        """Heights at x and y, by interpolation; the border's beyond it."""
        rows, columns = torch.from_numpy(self.grid.pixels_at(places)).unbind(dim=-1)
        size = torch.tensor(self.heights.shape[::-1])
        sample = torch.stack([columns, rows], dim=-1) / size * 2 - 1
        raster = self.heights[None, None]
        return F.grid_sample(
            raster, sample.float()[None, None], mode="bilinear", padding_mode="border", align_corners=False
        )[0, 0, 0]

    def sees(self, cameras: Float[ndarray, "*points 3"], points: Float[ndarray, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether nothing of the surface stands between a camera and points on it, all in map coordinates.

        Args:
            cameras: one, or one for each point.
            points: on the surface.
        """
        way = cameras - points
        rise = way[:, 2]
        tolerance = torch.from_numpy(TOLERANCE * rise).float()
        room = np.clip((self.greatest - points[:, 2]) / np.maximum(rise, 1e-9), 0, 1)  # above that there is nothing
        hidden = torch.zeros(len(points), dtype=torch.bool)
        for share in (np.arange(STEPS_TO_CAMERA) + 0.5) / STEPS_TO_CAMERA:
            places = points + (share * room)[:, None] * way
            hidden |= self.at(places[:, :2]) > torch.from_numpy(places[:, 2]).float() + tolerance
        return ~hidden & torch.from_numpy(rise > 0)

    def is_top(self, points: Float[ndarray, "points 3"], tolerance: float) -> Bool[ndarray, "points"]:
        """Whether points are on the surface as seen from straight above, and not on a wall or under a roof.

        Args:
            points: in map coordinates; those beyond the map, or without a place (NaN), are not.
            tolerance: how far they may be above or below it.
        """
        heights = self.heights.numpy()
        inside, rows, columns = self.grid.cells_at(points)
        near = np.zeros(len(rows), dtype=bool)
        for down, right in np.ndindex(3, 3):  # beside an edge, both of its heights are true
            row = (rows + down - 1).clip(0, heights.shape[0] - 1)
            column = (columns + right - 1).clip(0, heights.shape[1] - 1)
            near |= np.abs(heights[row, column] - points[inside, 2]) <= tolerance
        found = np.zeros(len(points), dtype=bool)
        found[inside] = near
        return found
