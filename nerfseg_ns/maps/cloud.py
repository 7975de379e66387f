"""The map as a cloud of classified points: LAS 1.4 for point cloud programs, PLY for CloudCompare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import laspy
import numpy as np
import pyproj
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import grey_opening

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.las_classes import VEGETATION, Code
from nerfseg_ns.maps.layers import Layers, certainty

LEAST_PHOTOS = 2
BATCH = 250_000
"""Points that are held at once."""
MILLIMETRES = 0.001
LOW, HIGH = 0.5, 2.0
"""Metres above the ground up to which vegetation is low, and from which on it is high."""
LOW_CODE, MEDIUM_CODE, HIGH_CODE = 3, 4, 5
OPENING = 40.0
"""Metres; what is narrower stands on the ground."""
GROUND_CELLS = 2000
"""Along the longer side of the map, of the raster of the ground's heights."""
TEXT_AREA = 3
"""Number of the record of a LAS file that describes it in words."""
PLY_TYPES = [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1"),
             ("class", "u1"), ("confidence", "<f4")]  # fmt: skip
PLY_NAMES = {"<f8": "double", "<f4": "float", "u1": "uchar"}


@dataclass
class CloudPoints:
    """Some points of a cloud."""

    places: Float[ndarray, "points 3"]
    colors: ndarray
    """UInt8 [points, 3]."""
    classes: ndarray
    """Class indices."""
    confidence: ndarray
    """0 to 1."""
    above_ground: ndarray
    """Heights, see `CloudWriter.above_ground`."""


class CloudWriter:
    """Writes the points of a map that at least two photos see.

    Args:
        grid: of the map.
        layers: of the map.
        codes: of the classes.
        spacing: pixels from point to point.
    """

    def __init__(self, grid: MapGrid, layers: Layers, codes: Sequence[Code], spacing: int) -> None:
        self.grid, self.layers, self.spacing = grid, layers, spacing
        self.codes = codes
        self._step = spacing * max(1, round(max(grid.rows, grid.columns) / (GROUND_CELLS * spacing)))
        self._ground = _ground(layers.heights.every(self._step), OPENING / (grid.resolution * self._step))

    def above_ground(self, rows: ndarray, columns: ndarray) -> ndarray:
        """Height of the surface above the ground at pixels of the map, metres; that of medium vegetation everywhere if
        the map has no metres."""
        if not self.grid.frame.is_georeferenced:
            return np.full(len(rows), (LOW + HIGH) / 2)
        return self.layers.heights[rows, columns] - self._ground[rows // self._step, columns // self._step]

    def points(self) -> Iterator[CloudPoints]:
        """All points, strip by strip."""
        step, layers = self.spacing, self.layers
        strip = step * max(1, BATCH * step // self.grid.columns)
        for row in range(0, self.grid.rows, strip):
            chosen = np.s_[row : row + strip : step, ::step]
            index = np.nonzero(layers.seen[chosen] >= LEAST_PHOTOS)
            if not len(index[0]):
                continue
            heights = layers.heights[chosen][index].astype(np.float64)
            places = self.grid.positions(row + step * index[0] + 0.5, step * index[1] + 0.5)
            yield CloudPoints(
                np.column_stack([places, heights]),
                layers.colors[chosen][index],
                layers.labels[chosen][index],
                certainty(layers.confidence[chosen][index]),
                self.above_ground(row + step * index[0], step * index[1]),
            )

    def write_laz(self, path: Path) -> int:
        """Writes LAS 1.4, point format 7; returns the number of points."""
        header = laspy.LasHeader(point_format=7, version="1.4")
        header.scales = np.full(3, MILLIMETRES if self.grid.frame.is_georeferenced else self.grid.resolution / 100)
        header.offsets = np.array([self.grid.left, self.grid.top, self.grid.floor])
        header.add_extra_dim(laspy.ExtraBytesParams("confidence", "f4", "probability of the class"))
        header.add_extra_dim(laspy.ExtraBytesParams("class_index", "u1", "index in classes.json"))
        if self.grid.frame.is_georeferenced:
            header.add_crs(pyproj.CRS.from_wkt(self.grid.frame.crs))
        header.vlrs.append(laspy.VLR("LASF_Spec", TEXT_AREA, "heights and accuracy", self._facts().encode()))
        count = 0

        def make(beside: Path) -> None:
            nonlocal count
            with laspy.open(beside, mode="w", header=header) as file:
                for some in self.points():
                    record = laspy.ScaleAwarePointRecord.zeros(len(some.places), header=header)
                    record.x, record.y, record.z = some.places.T
                    record.red, record.green, record.blue = some.colors.T.astype(np.uint16) * 257
                    record.classification = classify(some.classes, some.above_ground, self.codes)
                    record.confidence, record.class_index = some.confidence, some.classes
                    record.return_number, record.number_of_returns = np.ones((2, len(some.places)), np.uint8)
                    file.write_points(record)
                    count += len(some.places)

        write_whole(path, make)
        return count

    def _facts(self) -> str:
        """What the file's coordinates are, in words."""
        frame = self.grid.frame
        exact = [f"{name.replace('_', ' ')} {value:g}" for name, value in frame.accuracy.items()]
        return "; ".join([f"Unit: {frame.unit}", f"heights: {frame.heights}", *exact])

    def write_ply(self, path: Path, count: int) -> None:
        """Writes a binary PLY of so many points: doubles, which CloudCompare shifts."""
        kinds = "".join(f"property {PLY_NAMES[kind]} {name}\n" for name, kind in PLY_TYPES)
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{kinds}end_header\n"

        def make(beside: Path) -> None:
            with beside.open("wb") as file:
                file.write(head.encode("ascii"))
                for some in self.points():
                    columns = [*some.places.T, *some.colors.T, some.classes, some.confidence]
                    rows = np.empty(len(some.places), PLY_TYPES)
                    for (name, _), column in zip(PLY_TYPES, columns):
                        rows[name] = column
                    file.write(rows.tobytes())

        write_whole(path, make)


def classify(classes: ndarray, above_ground: ndarray, codes: Sequence[Code]) -> ndarray:
    """Codes of points.

    Args:
        classes: class index of each.
        above_ground: height of each above the ground, metres.
        codes: of the classes.
    """
    fixed = np.array([0 if code == VEGETATION else code for code in codes], np.uint8)[classes]
    is_vegetation = np.array([code == VEGETATION for code in codes])[classes]
    by_height = np.select([above_ground < LOW, above_ground < HIGH], [LOW_CODE, MEDIUM_CODE], HIGH_CODE)
    return np.where(is_vegetation, by_height, fixed).astype(np.uint8)


def _ground(heights: Float[ndarray, "rows columns"], cells: float) -> Float[ndarray, "rows columns"]:
    """A morphological opening of the surface: what is narrower than so many cells is taken away."""
    return grey_opening(heights, size=[max(3, min(round(cells), 3 * size // 4)) for size in heights.shape])
