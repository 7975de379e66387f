"""The surface of a trained scene as a raster of heights, rendered straight down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.console.progress import progress_bar
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.model import NerfSegModel
from nerfseg_ns.models.view_model import RAY_FEATURES

TILE = 1024
"""Pixels, both ways, whose rays are rendered together at the most."""
STEPS_TO_CAMERA = 24
TOLERANCE = 0.01
"""What stands higher than the line of sight by less than this share of the cameras' height hides nothing."""


@dataclass
class RenderedTile:
    """What rays straight down see of a tile."""

    heights: Float[Tensor, "rows columns"]
    """In the map's unit."""
    ends: Bool[Tensor, "rows columns"]
    """Where rays end in the scene."""
    rgb: Float[Tensor, "rows columns 3"]
    features: Float[Tensor, "rows columns numbers"]
    """For the classifier, see `RayFeatures.pack`; none in stage 1."""


@torch.no_grad()
def render_heights(model: NerfSegModel, grid: MapGrid, tile: Tile, step: int) -> Float[Tensor, "rows columns"]:
    """Heights of the surface above the lattice of a tile."""
    (bundle, falls), count = grid.rays(tile, step), model.rays_per_chunk
    depths = [
        model.render(bundle.get_row_major_sliced_ray_bundle(start, start + count).to(model.device))[-1].depth.cpu()
        for start in range(0, len(bundle), count)
    ]
    return (grid.ceiling - torch.cat(depths).view(falls.shape) * falls).clamp(min=grid.floor)


@torch.no_grad()
def render_tile(model: NerfSegModel, grid: MapGrid, tile: Tile, step: int) -> RenderedTile:
    """Heights, colors and what the classifiers need, above the lattice of a tile."""
    bundle, falls = grid.rays(tile, step)
    with model.keeping_ray_features():
        outputs = model.get_loose_ray_outputs(bundle)
    heights = grid.ceiling - outputs["depth"][..., 0] * falls
    ends = outputs["accumulation"][..., 0] > 0.5
    return RenderedTile(heights.clamp(min=grid.floor), ends, outputs["rgb"], outputs[RAY_FEATURES])


class HeightRaster:
    """The surface of the whole map at a coarse step, for what has to be known of it beyond a tile.

    Args:
        model: of the run.
        grid: of the map.
        step: pixels of the map per cell.
    """

    def __init__(self, model: NerfSegModel, grid: MapGrid, step: int) -> None:
        self.grid, self.step = grid, step
        rows, columns = -(-grid.rows // step), -(-grid.columns // step)
        self.heights = torch.zeros(rows, columns)
        side = TILE * step
        with progress_bar("Finding the surface", grid.count_tiles(side)) as tell:
            for done, tile in enumerate(grid.tiles(side), start=1):
                found = render_heights(model, grid, tile, step)
                top, left = tile.row // step, tile.column // step
                self.heights[top : top + found.shape[0], left : left + found.shape[1]] = found
                tell(done)
        self.greatest = float(self.heights.max())

    def at(self, places: Float[ndarray, "points 2"]) -> Float[Tensor, "points"]:
        """Heights at x and y, by interpolation; the border's beyond it."""
        side = self.grid.resolution * self.step
        columns = (torch.from_numpy(places[:, 0]) - self.grid.left) / side
        rows = (self.grid.top - torch.from_numpy(places[:, 1])) / side
        size = torch.tensor(self.heights.shape[::-1])
        sample = torch.stack([columns, rows], dim=-1) / size * 2 - 1
        raster = self.heights[None, None]
        return F.grid_sample(
            raster, sample.float()[None, None], mode="bilinear", padding_mode="border", align_corners=False
        )[0, 0, 0]

    def sees(self, camera: Float[ndarray, "3"], points: Float[ndarray, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether nothing of the surface stands between a camera and points on it, all in map coordinates."""
        rise = camera[2] - points[:, 2]
        tolerance = TOLERANCE * float(np.median(rise))
        room = np.clip((self.greatest - points[:, 2]) / np.maximum(rise, 1e-9), 0, 1)  # above that there is nothing
        hidden = torch.zeros(len(points), dtype=torch.bool)
        for share in (np.arange(STEPS_TO_CAMERA) + 0.5) / STEPS_TO_CAMERA:
            way = (share * room)[:, None]
            places = points + way * (camera - points)
            hidden |= self.at(places[:, :2]) > torch.from_numpy(places[:, 2]).float() + tolerance
        return ~hidden & torch.from_numpy(rise > 0)

    def is_top(self, points: Float[ndarray, "points 3"], tolerance: float) -> Bool[ndarray, "points"]:
        """Whether points are on the surface as seen from straight above, and not on a wall or under a roof.

        Args:
            points: in map coordinates; those beyond the map, or without a place (NaN), are not.
            tolerance: how far they may be above or below it.
        """
        side, heights = self.grid.resolution * self.step, self.heights.numpy()
        with np.errstate(invalid="ignore"):
            places = np.stack([self.grid.top - points[:, 1], points[:, 0] - self.grid.left], axis=-1) / side
            inside = ((places >= 0) & (places < heights.shape)).all(axis=-1)
        rows, columns = places[inside].astype(np.int64).T
        near = np.zeros(len(rows), dtype=bool)
        for down, right in np.ndindex(3, 3):  # beside an edge, both of its heights are true
            row = (rows + down - 1).clip(0, heights.shape[0] - 1)
            column = (columns + right - 1).clip(0, heights.shape[1] - 1)
            near |= np.abs(heights[row, column] - points[inside, 2]) <= tolerance
        found = np.zeros(len(points), dtype=bool)
        found[inside] = near
        return found
