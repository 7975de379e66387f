"""Gives a cloud that somebody else made the classes of a map, and touches nothing else in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import laspy
import numpy as np
import pyproj
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.core.files import write_whole
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.grids import rough_way_remark
from nerfseg_ns.maps.cloud import CloudWriter, classify
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.las_classes import Code
from nerfseg_ns.maps.layers import Layers

CHUNK = 1_000_000
TOLERANCE = 0.02
"""Share of the cameras' height above the scene that a point may lie off the map's surface."""
LEGACY_FORMATS = range(6)
MOST_LEGACY_CODE = 31
"""Point formats 0 to 5 keep five bits for the class; a larger one would be cut off."""
SAMPLE = 200_000
Mover = Callable[[Float[ndarray, "points 3"]], Float[ndarray, "points 3"]]


@dataclass
class Counts:
    """What became of a cloud."""

    points: int
    classified: int
    shift: float
    """Height that was added to the cloud's to compare it with the map."""


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Within it, all that laspy cannot read is one clear error."""
    try:
        yield
    except (laspy.LaspyException, RuntimeError, OSError) as error:  # lazrs's of a file that is cut off is the second
        raise UserError(f"Cannot read the cloud {source}: {error}") from error


def check_cloud(source: Path, codes: Sequence[Code]) -> None:
    """Whether a cloud can be given classes, by its header: before a map is made.

    Args:
        source: LAS or LAZ.
        codes: of the classes.

    Raises:
        UserError: it cannot be read, or cannot hold the codes.
    """
    with _reading(source), laspy.open(source) as reader:
        header = reader.header
    too_large = [code for code in codes if isinstance(code, int) and code > MOST_LEGACY_CODE]
    if header.point_format.id in LEGACY_FORMATS and too_large:
        raise UserError(
            f"{source} is of point format {header.point_format.id} (LAS {header.version}), which holds classes of "
            f"0 to {MOST_LEGACY_CODE}; this run's codes go up to {max(too_large)}. Give smaller ones with "
            "--las-classes, or convert the cloud to LAS 1.4 with point format 6 or 7."
        )


class CloudClassifier:
    """Looks up the points of clouds in a map.

    Args:
        grid: of the map.
        layers: of the map.
        own: the map's own cloud, which knows the ground.
    """

    def __init__(self, grid: MapGrid, layers: Layers, own: CloudWriter) -> None:
        self.grid, self.layers, self.own = grid, layers, own
        known = layers.sample_heights()
        self.tolerance = TOLERANCE * (grid.ceiling - float(np.median(known))) if len(known) else 0.0

    def write(self, source: Path, output: Path) -> Counts:
        """Writes a copy of a cloud with new classes where the map knows its points.

        Args:
            source: LAS or LAZ.
            output: of the same kind.

        Raises:
            UserError: it cannot be read, lies elsewhere, or cannot hold the codes.
        """
        check_cloud(source, self.own.codes)
        with _reading(source), laspy.open(source) as reader:
            move = self._mover(source, reader.header)
            counts = Counts(0, 0, self._find_shift(source, reader, move))
        write_whole(output, lambda beside: self._copy(source, beside, move, counts))
        return counts

    def _copy(self, source: Path, beside: Path, move: Mover, counts: Counts) -> None:
        with laspy.open(source) as reader, laspy.open(beside, mode="w", header=reader.header) as writer:
            for points in reader.chunk_iterator(CHUNK):
                found, index = self._find(move(_places(points)), counts.shift)
                classes = np.array(points.classification)
                labels = self.layers.labels[index]
                classes[found] = classify(labels, self.own.above_ground(*index), self.own.codes)
                points.classification = classes
                writer.write_points(points)
                counts.points += len(classes)
                counts.classified += int(found.sum())
            if reader.evlrs:
                writer.write_evlrs(reader.evlrs)

    def _find(
        self, places: Float[ndarray, "points 3"], shift: float
    ) -> tuple[Bool[ndarray, "points"], tuple[Int[ndarray, "found"], Int[ndarray, "found"]]]:
        """Points that lie on the map's surface, and their rows and columns."""
        within, rows, columns = self.grid.cells_at(places)
        found = within.copy()
        heights = self.layers.heights[rows, columns]
        near = np.abs(places[within, 2] + shift - heights) <= self.tolerance
        found[within] = near & (self.layers.seen[rows, columns] > 0)
        return found, (rows[found[within]], columns[found[within]])

    def _mover(self, source: Path, header: laspy.LasHeader) -> Mover:
        """What takes the cloud's coordinates to the map's."""
        system = header.parse_crs()
        if system is None or not self.grid.frame.is_georeferenced:
            return lambda places: places
        horizontal = system.sub_crs_list[0] if system.is_compound else system
        own = pyproj.CRS.from_wkt(self.grid.frame.crs)
        if horizontal.equals(own, ignore_axis_order=True):
            return lambda places: places
        if remark := rough_way_remark(horizontal, own):
            say(remark)
        transformer = pyproj.Transformer.from_crs(horizontal, own, always_xy=True)
        return lambda places: np.column_stack([*transformer.transform(places[:, 0], places[:, 1]), places[:, 2]])

    def _find_shift(self, source: Path, reader: laspy.LasReader, move: Mover) -> float:
        """Height of the map's surface above the cloud's, where they are counted from other levels: the median over some
        points, if that is more than the tolerance."""
        every = max(1, reader.header.point_count // SAMPLE)  # clouds are often sorted, by place or by class
        places = move(np.concatenate([_places(some)[::every] for some in reader.chunk_iterator(CHUNK)]))
        within, rows, columns = self.grid.cells_at(places)
        seen = self.layers.seen[rows, columns] > 0
        if not seen.any():
            grid = self.grid
            raise UserError(
                f"{source} has no point over the map ({grid.left:.0f} to {grid.right:.0f} east, {grid.bottom:.0f} to "
                f"{grid.top:.0f} north). Is it of this place, and in the coordinate system that it says?"
            )
        gaps = self.layers.heights[rows, columns][seen] - places[within, 2][seen]
        median = float(np.median(gaps))
        return median if abs(median) > self.tolerance else 0.0


def _places(points: laspy.ScaleAwarePointRecord) -> Float[ndarray, "points 3"]:
    return np.column_stack([np.asarray(points.x), np.asarray(points.y), np.asarray(points.z)])
