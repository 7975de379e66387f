"""The raster of a map: where its pixels are, in the map's coordinates and in the trained scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int
from nerfstudio.cameras.rays import RayBundle
from rasterio.transform import Affine
from torch import Tensor

from nerfseg_ns.geo.map_frame import MapFrame

NODES = 5
"""Places along each side of a tile that are transformed exactly; between them positions are interpolated."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of a map's pixels."""

    row: int
    column: int
    rows: int
    columns: int

    def widened(self, margin: int, grid: MapGrid) -> Tile:
        """With so many pixels more on each side, as far as the map goes."""
        row, column = max(0, self.row - margin), max(0, self.column - margin)
        bottom, right = self.row + self.rows + margin, self.column + self.columns + margin
        return Tile(row, column, min(grid.rows, bottom) - row, min(grid.columns, right) - column)

    def within(self, other: Tile) -> tuple[slice, slice]:
        """Where it lies in an array of another tile's pixels."""
        row, column = self.row - other.row, self.column - other.column
        return slice(row, row + self.rows), slice(column, column + self.columns)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where it lies in an array of the whole map."""
        return slice(self.row, self.row + self.rows), slice(self.column, self.column + self.columns)


def pixels_at(
    places: Float[np.ndarray, "points xyz"], left: float, top: float, side: float
) -> Float64[np.ndarray, "points 2"]:
    """Rows and columns of x and y in a raster; 0.5 is the middle of the first pixel.

    Args:
        places: x and y, and what else.
        left: least x of the raster.
        top: greatest y.
        side: of a pixel.
    """
    return np.stack([top - places[:, 1], places[:, 0] - left], axis=-1) / side


class Cells(NamedTuple):
    """Pixels of a raster that places lie in."""

    inside: Bool[np.ndarray, "points"]
    """Which places lie in any; not those that are nowhere (NaN)."""
    rows: Int[np.ndarray, "cells"]
    """Of those."""
    columns: Int[np.ndarray, "cells"]


def cells_at(pixels: Float[np.ndarray, "points 2"], shape: tuple[int, int]) -> Cells:
    """Pixels of a raster of some shape that rows and columns lie in."""
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= 0) & (pixels < shape)).all(axis=-1)
    return Cells(inside, *pixels[inside].astype(np.int64).T)


@dataclass(frozen=True)
class MapGrid:
    """A map's pixels, rows from north to south.

    Args:
        frame: the map's coordinates.
        left: least x.
        top: greatest y.
        resolution: side of a pixel, in the map's unit.
        rows: number of rows.
        columns: number of columns.
        ceiling: a height above all that is mapped; rays begin there.
        floor: a height below all of it.
    """

    frame: MapFrame
    left: float
    top: float
    resolution: float
    rows: int
    columns: int
    ceiling: float
    floor: float

    @classmethod
    def around(
        cls, frame: MapFrame, points: Float64[np.ndarray, "points 3"], resolution: float, ceiling: float
    ) -> MapGrid:
        """The smallest raster over points in map coordinates, its borders at whole multiples of the resolution."""
        low = np.floor(points[:, :2].min(axis=0) / resolution) * resolution
        high = np.ceil(points[:, :2].max(axis=0) / resolution) * resolution
        columns, rows = np.maximum(1, np.rint((high - low) / resolution)).astype(int)
        depth = ceiling - points[:, 2].min()
        return cls(
            frame, float(low[0]), float(high[1]), resolution, int(rows), int(columns), ceiling, ceiling - 1.5 * depth
        )

    def tiles(self, size: int) -> Iterator[Tile]:
        """All of the map in squares of at most so many pixels, row by row, each row in the other direction than the one
        before: neighbours follow each other."""
        for number, row in enumerate(range(0, self.rows, size)):
            starts = list(range(0, self.columns, size))
            for column in starts if number % 2 == 0 else starts[::-1]:
                yield Tile(row, column, min(size, self.rows - row), min(size, self.columns - column))

    def count_tiles(self, size: int) -> int:
        """How many `tiles` gives."""
        return -(-self.rows // size) * -(-self.columns // size)

    def positions(
        self, rows: Float[np.ndarray, "points"], columns: Float[np.ndarray, "points"]
    ) -> Float64[np.ndarray, "points 2"]:
        """x and y of places in pixels; 0.5 is the middle of the first pixel."""
        return np.stack([self.left + columns * self.resolution, self.top - rows * self.resolution], axis=-1)

    @property
    def right(self) -> float:
        """Greatest x."""
        return self.left + self.columns * self.resolution

    @property
    def bottom(self) -> float:
        """Least y."""
        return self.top - self.rows * self.resolution

    @property
    def transform(self) -> Affine:
        """From columns and rows to x and y, as GDAL's files say it."""
        return Affine(self.resolution, 0, self.left, 0, -self.resolution, self.top)

    def pixels_at(self, places: Float[np.ndarray, "points xyz"]) -> Float64[np.ndarray, "points 2"]:
        """Rows and columns of x and y, the inverse of `positions`."""
        return pixels_at(places, self.left, self.top, self.resolution)

    def cells_at(self, places: Float[np.ndarray, "points xyz"]) -> Cells:
        """Pixels that x and y lie in."""
        return cells_at(self.pixels_at(places), (self.rows, self.columns))

    def lattice(self, tile: Tile, step: int) -> tuple[Float[Tensor, "rows"], Float[Tensor, "columns"]]:
        """Middles of every block of `step` pixels of a tile, both ways, in pixels of the map."""
        rows = tile.row + step * (torch.arange(-(-tile.rows // step)) + 0.5)
        columns = tile.column + step * (torch.arange(-(-tile.columns // step)) + 0.5)
        return rows, columns

    def scene_points(self, tile: Tile, heights: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns 3"]:
        """Points of the trained scene above the middles of a tile's pixels, at the given heights."""
        top, bottom = self._levels(tile)
        share = ((self.ceiling - heights) / (self.ceiling - self.floor))[..., None]
        return torch.lerp(top, bottom, share.to(top))

    def rays(self, tile: Tile) -> tuple[RayBundle, Float[Tensor, "rows columns"]]:
        """Rays straight down through the middles of a tile's pixels, and how far each falls per unit of distance, in
        the map's unit."""
        top, bottom = self._levels(tile)
        lengths = (bottom - top).norm(dim=-1, keepdim=True)
        bundle = RayBundle(top.float(), ((bottom - top) / lengths).float(), torch.full_like(lengths, 1e-6).float())
        return bundle, (self.ceiling - self.floor) / lengths[..., 0].float()

    def _levels(self, tile: Tile) -> tuple[Float[Tensor, "rows columns 3"], Float[Tensor, "rows columns 3"]]:
        """Points of the trained scene above the pixels' middles, at the ceiling and at the floor."""
        rows, columns = self.lattice(tile, 1)
        ends = [np.linspace(float(values[0]), float(values[-1]) + 1e-6, NODES) for values in (rows, columns)]
        places = self.positions(*(axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")))
        size = len(rows), len(columns)
        found = []
        for height in (self.ceiling, self.floor):
            nodes = self.frame.to_scene(np.column_stack([places, np.full(len(places), height)]))
            raster = torch.from_numpy(nodes).T.reshape(1, 3, NODES, NODES)
            found.append(F.interpolate(raster, size=size, mode="bilinear", align_corners=True)[0].movedim(0, -1))
        return found[0], found[1]
