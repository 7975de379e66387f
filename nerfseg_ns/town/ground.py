"""The ground as a painted map: what it is made of, how high it lies, and where something stands already."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw
from scipy import ndimage

from nerfseg_ns.town.classes import Ground

DISC_RADIUS = 205.0
"""Where the countryside ends, metres from the centre."""
TEXEL = 0.125
"""Side of one map cell, metres."""
TAKEN_TEXEL = 0.5
"""Side of one cell of the record of what is built over, metres."""
HEIGHT_CELL = 1.0
"""Side of one cell of the height map, metres."""


class GroundMap:
    """A raster of `Ground` kinds over the whole disc, painted polygon by polygon, and its heights.

    Coordinates are metres in the town's frame: x and y on the ground, z up, the origin in the middle.
    """

    def __init__(self) -> None:
        size = round(2 * DISC_RADIUS / TEXEL)
        self._kinds = Image.new("L", (size, size), int(Ground.GRASS))
        self._taken = Image.new("L", (int(size * TEXEL / TAKEN_TEXEL),) * 2, 0)
        self._draw = ImageDraw.Draw(self._kinds)
        self._draw_taken = ImageDraw.Draw(self._taken)
        self._height: Float[ndarray, "rows columns"] | None = None
        self._slope: Float[ndarray, "2 rows columns"] | None = None
        self._kind_array: UInt8[ndarray, "rows columns"] | None = None

    # Painting -------------------------------------------------------------------------------------------------------

    def paint(self, polygon: Float[ndarray, "corners 2"], kind: Ground) -> None:
        """Fills a polygon with one kind of ground."""
        self._draw.polygon([tuple(point) for point in (polygon + DISC_RADIUS) / TEXEL], fill=int(kind))
        self._kind_array = None

    def paint_rectangle(self, x0: float, y0: float, x1: float, y1: float, kind: Ground) -> None:
        """Fills an axis-parallel rectangle."""
        self.paint(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), kind)

    def paint_strip(self, line: Float[ndarray, "points 2"], left: float, right: float, kind: Ground) -> None:
        """Fills the band between two offsets (metres, positive to the left) of a polyline."""
        normal = polyline_normals(line)
        self.paint(np.concatenate([line + left * normal, (line + right * normal)[::-1]]), kind)

    def take(self, polygon: Float[ndarray, "corners 2"]) -> None:
        """Marks a polygon as built over: nothing else may be put there."""
        self._draw_taken.polygon([tuple(point) for point in (polygon + DISC_RADIUS) / TAKEN_TEXEL], fill=1)

    # Looking up -----------------------------------------------------------------------------------------------------

    def kind_at(self, x: Float[ndarray, "*n"], y: Float[ndarray, "*n"]) -> UInt8[ndarray, "*n"]:
        """Kind of ground under points; beyond the map, its border."""
        if self._kind_array is None:
            self._kind_array = np.asarray(self._kinds)
        return self._kind_array[
            _cells(y, TEXEL, self._kind_array.shape[0]), _cells(x, TEXEL, self._kind_array.shape[1])
        ]

    def is_free(self, x: float, y: float, radius: float, kinds: tuple[Ground, ...]) -> bool:
        """Whether a disc on the ground holds nothing yet and lies on the given kinds only."""
        if np.hypot(x, y) + radius > DISC_RADIUS - 4:
            return False
        angle = np.linspace(0, 2 * np.pi, 9)
        xs, ys = x + radius * np.cos(angle), y + radius * np.sin(angle)
        xs[-1], ys[-1] = x, y
        places = list(zip(xs + DISC_RADIUS, ys + DISC_RADIUS, strict=True))
        if any(self._taken.getpixel((int(px / TAKEN_TEXEL), int(py / TAKEN_TEXEL))) for px, py in places):
            return False
        return all(self._kinds.getpixel((int(px / TEXEL), int(py / TEXEL))) in kinds for px, py in places)

    def height_at(self, x: Float[ndarray, "*n"], y: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
        """Height of the ground in metres, bilinear in the height map."""
        assert self._height is not None, "raise_hills comes first"
        return _bilinear(self._height, x, y)

    def normal_at(self, x: Float[ndarray, " n"], y: Float[ndarray, " n"]) -> Float[ndarray, "n 3"]:
        """Unit normal of the ground."""
        assert self._slope is not None, "raise_hills comes first"
        normal = np.stack(
            [-_bilinear(self._slope[0], x, y), -_bilinear(self._slope[1], x, y), np.ones_like(x)], axis=-1
        )
        return normal / np.linalg.norm(normal, axis=-1, keepdims=True)

    # Heights --------------------------------------------------------------------------------------------------------

    def raise_hills(self, rng: np.random.Generator) -> None:
        """Sets the heights: flat in the town, hills outside, water a metre below its banks."""
        count = int(2 * DISC_RADIUS / HEIGHT_CELL) + 1
        axis = np.linspace(-DISC_RADIUS, DISC_RADIUS, count)
        x, y = np.meshgrid(axis, axis)
        rise = np.clip((np.hypot(x, y) - 105) / 80, 0, 1)
        rise = rise * rise * (3 - 2 * rise)
        hills = np.zeros_like(x)
        for _ in range(5):
            heading, length, phase = rng.uniform(0, 2 * np.pi), rng.uniform(70, 150), rng.uniform(0, 2 * np.pi)
            hills += np.sin(2 * np.pi * (x * np.cos(heading) + y * np.sin(heading)) / length + phase)
        height = rise * (5.0 + 2.6 * hills)
        wet = self.kind_at(x, y) == Ground.WATER
        near_water = np.clip(1 - ndimage.distance_transform_edt(~wet) * HEIGHT_CELL / 25, 0, 1)
        depth = 1.2 * np.clip(ndimage.distance_transform_edt(wet) * HEIGHT_CELL / 3, 0, 1)
        self._height = ndimage.gaussian_filter(height * (1 - near_water) - depth, 1.0)
        self._slope = np.stack(
            [np.gradient(self._height, HEIGHT_CELL, axis=1), np.gradient(self._height, HEIGHT_CELL, axis=0)]
        )

    def mesh(self) -> tuple[Float[ndarray, "v 3"], ndarray]:
        """Vertices and triangles of the ground: rings of 2 m, 288 sectors."""
        radii = np.linspace(0, DISC_RADIUS - 2, 101)[1:]
        angles = np.linspace(0, 2 * np.pi, 288, endpoint=False)
        r, a = np.meshgrid(radii, angles, indexing="ij")
        flat = np.concatenate([[[0.0, 0.0]], np.stack([r * np.cos(a), r * np.sin(a)], -1).reshape(-1, 2)])
        vertices = np.column_stack([flat, self.height_at(flat[:, 0], flat[:, 1])])
        here = 1 + np.arange(len(radii) * len(angles)).reshape(len(radii), len(angles))
        after = np.roll(here, -1, axis=1)
        fan = np.stack([np.zeros_like(here[0]), here[0], after[0]], -1)
        lower = np.stack([here[:-1], here[1:], after[1:]], -1).reshape(-1, 3)
        upper = np.stack([here[:-1], after[1:], after[:-1]], -1).reshape(-1, 3)
        return vertices, np.concatenate([fan, lower, upper])


def polyline_normals(line: Float[ndarray, "points 2"]) -> Float[ndarray, "points 2"]:
    """Unit normals to the left of a polyline, at its points."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def _cells(value: Float[ndarray, "*n"], cell: float, count: int) -> ndarray:
    return np.clip(((value + DISC_RADIUS) / cell).astype(np.int32), 0, count - 1)


def _bilinear(raster: Float[ndarray, "rows columns"], x: Float[ndarray, "*n"], y: Float[ndarray, "*n"]) -> ndarray:
    column = np.clip((x + DISC_RADIUS) / HEIGHT_CELL, 0, raster.shape[1] - 1.001)
    row = np.clip((y + DISC_RADIUS) / HEIGHT_CELL, 0, raster.shape[0] - 1.001)
    j, i = column.astype(np.int32), row.astype(np.int32)
    s, t = column - j, row - i
    top = raster[i, j] * (1 - s) + raster[i, j + 1] * s
    return top * (1 - t) + (raster[i + 1, j] * (1 - s) + raster[i + 1, j + 1] * s) * t
