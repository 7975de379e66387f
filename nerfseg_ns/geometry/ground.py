"""The ground under a learnt scene, and how high a place lies above it.

Coordinates are those of `SceneFrame.to_grid`: the first two along the ground, the third up, all within [-1, 1].
"""

from __future__ import annotations

from typing import List, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nerfseg_ns.core.grids import interpolate
from nerfseg_ns.geometry.base import RaySegment

CELLS = 192
"""Of the raster of the ground, both ways."""
LOW_SHARE = 0.1
"""Of the surface points in a cell, the share that lies below what is taken for its lowest place: some are wrong."""


class Ground(nn.Module):
    """A raster of the ground's height: a morphological opening of the lowest surface.

    An opening leaves out what is narrower than its window, such as houses and crowns, and follows slopes (Kilian,
    Haala, Englich, ISPRS 1996).
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heights", torch.zeros(CELLS, CELLS))

    @torch.no_grad()
    def fit(self, points: Float[Tensor, "points 3"], reach: Tuple[float, float]) -> None:
        """Finds the ground.

        Args:
            points: on the scene's surfaces.
            reach: half the window, along either axis, in the points' units.
        """
        lowest = _without_pits(_lowest(points))
        windows = [max(1, round(length * CELLS / 2)) for length in reach]
        opened = -_window_most(-lowest, windows)
        opened = _window_most(torch.where(opened.isinf(), -opened, opened), windows)
        opened = torch.where(opened.isinf(), points[:, 2].median(), opened)
        smoothed = F.avg_pool2d(F.pad(opened[None, None], (2, 2, 2, 2), mode="replicate"), 5, 1)
        self.heights.copy_(smoothed[0, 0])

    def height_above(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """How far points lie above the ground."""
        return points[:, 2] - interpolate(self.heights[None], points[:, :2].contiguous())[0]


def surface_points(segments: List[RaySegment]) -> Float[Tensor, "rays 3"]:
    """Where rays end: the sample of the first segment within which half of the segment's light is absorbed."""
    segment = segments[0]
    absorbed = segment.weights[..., 0].float().cumsum(dim=-1)
    index = (absorbed < 0.5 * absorbed[:, -1:]).sum(dim=-1).clamp(max=absorbed.shape[-1] - 1)
    return segment.positions[torch.arange(len(index), device=index.device), index].float()


def _lowest(points: Float[Tensor, "points 3"]) -> Float[Tensor, "rows columns"]:
    """The low end of the points of each cell; infinite where there are none."""
    column, row = ((points[:, :2] + 1) * CELLS / 2).long().clamp(0, CELLS - 1).unbind(dim=-1)
    order = points[:, 2].argsort()
    cell = (row * CELLS + column)[order]
    by_cell = cell.argsort(stable=True)  # within a cell from low to high
    cells, counts = torch.unique_consecutive(cell[by_cell], return_counts=True)
    low = counts.cumsum(dim=0) - counts + (counts * LOW_SHARE).long()
    raster = points.new_full((CELLS * CELLS,), float("inf"))
    raster[cells] = points[order, 2][by_cell[low]]
    return raster.view(CELLS, CELLS)


def _without_pits(raster: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """The median of each cell and its neighbours, empty ones left out: a single wrong depth would be a pit, and an
    opening keeps pits."""
    known = torch.where(raster.isinf(), torch.full_like(raster, float("nan")), raster)
    padded = F.pad(known, (1, 1, 1, 1), value=float("nan"))
    medians = padded.unfold(0, 3, 1).unfold(1, 3, 1).flatten(2).nanmedian(dim=-1).values
    return torch.where(medians.isnan(), raster, medians)


def _window_most(raster: Float[Tensor, "rows columns"], reach: List[int]) -> Float[Tensor, "rows columns"]:
    """The largest value within so many cells, along columns and along rows."""
    columns, rows = reach
    most = F.max_pool2d(raster[None, None], (1, 2 * columns + 1), 1, (0, columns))
    return F.max_pool2d(most, (2 * rows + 1, 1), 1, (rows, 0))[0, 0]
