"""From what was drawn to clean areas in map coordinates, each of one class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Callable

import numpy as np
import pyproj
import shapely
from jaxtyping import Bool, Int64
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.grids import rough_way_remark
from nerfseg_ns.geo.map_frame import MapFrame
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.drawn.classes import NO_CLASS
from nerfseg_ns.maps.drawn.features import Features

POINT, LINE, POLYGON = 0, 1, 2
"""Dimensions of geometries."""
DEGREES = (360.0, 90.0)
"""Greatest longitude and latitude."""


@dataclass(frozen=True)
class Shapes:
    """Areas, in the order in which they were drawn."""

    areas: ndarray
    """Valid shapely polygons and multipolygons, in map coordinates."""
    classes: Int64[ndarray, " shapes"]
    """IGNORE_INDEX erases what lies below."""
    strokes: Bool[ndarray, " shapes"]
    """Which were lines or points."""
    numbers: Int64[ndarray, " shapes"]
    """Their positions in the file, from 1."""
    notes: "Counter[str]"
    """What was left out or mended, and how often."""

    def __len__(self) -> int:
        return len(self.areas)


def make_shapes(features: Features, classes: Int64[ndarray, " features"], frame: MapFrame, stroke: float) -> Shapes:
    """Makes areas of features.

    Args:
        features: of the file.
        classes: of each; NO_CLASS leaves it out.
        frame: the map's coordinates.
        stroke: width of lines and diameter of points, in the map's unit.

    Raises:
        UserError: the features are not where their coordinate system says, or none is left.
    """
    notes: Counter[str] = Counter()
    empty = shapely.is_missing(features.geometries) | shapely.is_empty(features.geometries)
    notes["without a shape"] = int(empty.sum())
    notes["without a class"] = int((~empty & (classes == NO_CLASS)).sum())
    chosen = np.flatnonzero(~empty & (classes != NO_CLASS))
    if not len(chosen):
        raise UserError(
            f"No feature of {features.place} has both a shape and a class. Draw some, or fill in the field."
        )
    places = shapely.transform(features.geometries[chosen], _to_map(features, frame))
    notes["mended (they crossed themselves)"] = int((~shapely.is_valid(places)).sum())
    dimensions = shapely.get_dimensions(places)
    areas = np.array([_area(place, stroke) for place in places], dtype=object)
    flat = shapely.is_empty(areas)
    notes["without an area"] = int(flat.sum())
    if flat.all():
        raise UserError(f"No feature of {features.place} covers any ground. Draw polygons, lines or points.")
    kept = ~flat
    return Shapes(areas[kept], classes[chosen][kept], (dimensions < POLYGON)[kept], chosen[kept] + 1, +notes)


def _area(place: shapely.Geometry, stroke: float) -> shapely.Geometry:
    """The area of a geometry: polygons as they are, lines and points as strokes."""
    parts = shapely.get_parts(shapely.make_valid(place))
    parts = shapely.get_parts(parts)  # what is mended may be a collection of collections
    is_polygon = shapely.get_dimensions(parts) == POLYGON
    if shapely.get_dimensions(place) == POLYGON:
        return shapely.union_all(parts[is_polygon])  # a polygon without area leaves lines, which nobody drew
    return shapely.union_all(np.where(is_polygon, parts, shapely.buffer(parts, stroke / 2)))


def _to_map(features: Features, frame: MapFrame) -> Callable[[ndarray], ndarray]:
    """What takes the file's coordinates to the map's.

    Raises:
        UserError: they are not in the file's coordinate system, or the scene is nowhere while they are somewhere.
    """
    crs = features.crs
    if crs is None or (features.is_assumed and not frame.is_georeferenced):
        return lambda places: places
    if not frame.is_georeferenced:
        raise UserError(
            f"{features.place} is in {crs.name}, but nobody knows where on the earth this scene is. Draw on the map "
            "that nerfseg map makes of it, and save without a coordinate system; or make the scene of photos with GPS."
        )
    bounds = shapely.total_bounds(features.geometries)
    if crs.is_geographic and (np.abs(bounds) > np.tile(DEGREES, 2)).any():
        why = "A GeoJSON that says nothing else is in degrees. " if features.is_assumed else ""
        raise UserError(
            f"{features.place} is said to be in {crs.name} (degrees), but its coordinates go up to "
            f"{np.abs(bounds).max():,.0f}. {why}Save it in the coordinate system that it was drawn in."
        )
    if remark := rough_way_remark(crs, frame.crs):
        say(remark)
    transformer = pyproj.Transformer.from_crs(crs, frame.crs, always_xy=True)

    def transform(places: ndarray) -> ndarray:
        found = np.column_stack(transformer.transform(places[:, 0], places[:, 1]))
        if not np.isfinite(found).all():
            raise UserError(
                f"{features.place} holds coordinates that {crs.name} does not have, such as "
                f"{places[~np.isfinite(found).all(axis=1)][0].tolist()}. Save it in the system that it was drawn in."
            )
        return found

    return transform


def count_overlaps(shapes: Shapes, least: float) -> int:
    """How many areas lie, at least in part, on earlier ones of another class.

    Args:
        shapes: in the order in which they were drawn.
        least: common area that counts, in squares of the map's unit.
    """
    tree = shapely.STRtree(shapes.areas)
    first, second = tree.query(shapes.areas, predicate="intersects")
    pairs = (first < second) & (shapes.classes[first] != shapes.classes[second])
    first, second = first[pairs], second[pairs]
    common = shapely.area(shapely.intersection(shapes.areas[first], shapes.areas[second]))
    return len(np.unique(second[common >= least]))


def named(shapes: Shapes, table: ClassTable, index: int) -> str:
    """A feature for messages: its number in the file and its class."""
    label = int(shapes.classes[index])
    return f"{shapes.numbers[index]} {'that erases' if label == IGNORE_INDEX else table.names[label]}"
