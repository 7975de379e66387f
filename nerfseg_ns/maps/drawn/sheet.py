"""What was drawn as a raster: which shape lies on top at each place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int64, UInt
from numpy import ndarray
from rasterio.features import rasterize
from rasterio.transform import Affine
from scipy.ndimage import maximum_filter, minimum_filter

from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.maps.drawn.shapes import Shapes
from nerfseg_ns.maps.grid import MapGrid, cells_at, pixels_at

FINER = 2
"""Cells per pixel of the photos, along each axis."""
MOST_CELLS = 8000
"""Along the longer side."""
MOST_SAMPLED = 2_000_000
"""Cells that places are drawn from."""
NOTHING = 0
"""Where no shape lies; shapes are counted from 1."""


@dataclass(frozen=True)
class Sheet:
    """Shapes on a raster, rows from north to south.

    The later shape lies on top.
    """

    shapes: Shapes
    left: float
    top: float
    side: float
    """Of a cell, in the map's unit."""
    on_top: UInt[ndarray, "rows columns"]
    """Number of the shape, NOTHING where there is none or where it is too near to a border."""

    @classmethod
    def draw(cls, shapes: Shapes, grid: MapGrid, distance: float, margin: float) -> Sheet | None:
        """Draws shapes, as far as they lie on a map.

        Args:
            shapes: to draw, later ones over earlier ones.
            grid: of the map.
            distance: what a pixel of the photos covers on the ground.
            margin: pixels of the photos on both sides of a border of polygons that are left out.

        Returns:
            None if all lie off the map.
        """
        drawn = shapely.total_bounds(shapes.areas)
        room = (margin + 1) * distance
        low = np.maximum(drawn[:2] - room, [grid.left, grid.bottom])
        high = np.minimum(drawn[2:] + room, [grid.right, grid.top])
        if (high <= low).any():
            return None
        side = max(distance / FINER, float((high - low).max()) / MOST_CELLS)
        columns, rows = np.ceil((high - low) / side).astype(int)
        numbers = range(1, len(shapes) + 1)
        kind = "uint16" if len(shapes) < 2**16 else "uint32"
        transform = Affine(side, 0, low[0], 0, -side, high[1])
        on_top = rasterize(zip(shapes.areas, numbers), (rows, columns), fill=NOTHING, transform=transform, dtype=kind)
        sheet = cls(shapes, float(low[0]), float(high[1]), side, on_top)
        sheet._leave_borders(max(1, round(margin * distance / side)) if margin > 0 else 0)
        return sheet

    def _leave_borders(self, cells: int) -> None:
        """Takes away the cells of polygons that are near to another class, or to nothing."""
        if cells == 0:
            return
        classes = self.classes_of(self.on_top)
        strokes = np.append(False, self.shapes.strokes)[self.on_top]
        size = 2 * cells + 1
        border = maximum_filter(classes, size, mode="nearest") != minimum_filter(classes, size, mode="nearest")
        self.on_top[border & ~strokes] = NOTHING

    def classes_of(self, numbers: UInt[ndarray, "*any"]) -> UInt[ndarray, "*any"]:
        """Class indices of shapes by their numbers; IGNORE_INDEX for none, and for shapes that erase."""
        return np.append(IGNORE_INDEX, self.shapes.classes).astype(np.uint8)[numbers]

    def lies_off(self, grid: MapGrid) -> Bool[ndarray, " shapes"]:
        """Which shapes lie off a map."""
        return ~shapely.intersects(self.shapes.areas, shapely.box(grid.left, grid.bottom, grid.right, grid.top))

    def has(self) -> Bool[ndarray, " shapes"]:
        """Which shapes are on top anywhere."""
        return np.bincount(self.on_top.ravel(), minlength=len(self.shapes) + 1)[1:] > 0

    def at(self, places: Float[ndarray, "points 2"]) -> UInt[ndarray, "points"]:
        """Numbers of the shapes on top at x and y; NOTHING off the sheet, or at no place (NaN)."""
        inside, rows, columns = cells_at(pixels_at(places, self.left, self.top, self.side), self.on_top.shape)
        found = np.zeros(len(places), dtype=self.on_top.dtype)
        found[inside] = self.on_top[rows, columns]
        return found

    def gap(self, count: int) -> float:
        """Pixels of the photos between neighbours, if so many places are spread over what was drawn."""
        return float(np.sqrt(np.count_nonzero(self.on_top) / max(1, count))) / FINER

    def sample(self, count: int) -> tuple[Float[ndarray, "places 2"], Int64[ndarray, " places"]]:
        """About so many places, evenly over what was drawn, one of each shape at least if its middle is on top; and the
        numbers of their shapes."""
        step = max(1, int(np.sqrt(self.on_top.size / MOST_SAMPLED)))
        rows, columns = step * np.array(np.nonzero(self.on_top[::step, ::step]))
        chosen = np.random.default_rng(0).permutation(len(rows))[:count]
        rows, columns = rows[chosen], columns[chosen]
        places = [self.left + (columns + 0.5) * self.side, self.top - (rows + 0.5) * self.side]
        numbers = self.on_top[rows, columns].astype(np.int64)
        missed = np.setdiff1d(np.arange(1, len(self.shapes) + 1), numbers)
        inside = shapely.get_coordinates(shapely.point_on_surface(self.shapes.areas[missed - 1]))
        on_top = self.at(inside) == missed
        return np.concatenate([np.stack(places, axis=-1), inside[on_top]]), np.append(numbers, missed[on_top])
