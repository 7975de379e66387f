"""Polygons of the classes, as a GeoPackage: their borders are those of pixels, so that neighbours share them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from jaxtyping import UInt8
from numpy import ndarray
from rasterio.features import rasterize, shapes, sieve
from rasterio.transform import Affine
from shapely.geometry import shape

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.grid import MapGrid

LAYER = "classes"
STRIP = 2048
CONNECTIVITY = 4
"""With 8, GDAL 3.10's polygons may touch themselves, which makes them invalid."""


@dataclass
class Polygons:
    """Polygons and the class of each."""

    shapes: ndarray
    """shapely polygons, in map coordinates."""
    classes: UInt8[ndarray, "polygons"]
    confidence: ndarray
    """Mean over the pixels, 0 to 1."""


def find_polygons(
    labels: UInt8[ndarray, "rows columns"],
    confidence: UInt8[ndarray, "rows columns"],
    grid: MapGrid,
    least_pixels: int,
) -> Polygons:
    """Polygons of a label map.

    Args:
        labels: class indices, IGNORE_INDEX where nothing is known.
        confidence: 1 to 255.
        grid: of the map.
        least_pixels: smaller ones are given to the neighbour that they have most in common with.
    """
    known = np.asarray(labels) != IGNORE_INDEX
    cleaned = np.array(labels)
    for size in _sieve_sizes(least_pixels):
        cleaned = sieve(cleaned, size, mask=known, connectivity=CONNECTIVITY)
        cleaned[~known] = IGNORE_INDEX
    transform = Affine(grid.resolution, 0, grid.left, 0, -grid.resolution, grid.top)
    found = [
        (shape(outline), int(value))
        for outline, value in shapes(cleaned, mask=known, connectivity=CONNECTIVITY, transform=transform)
    ]
    geometries = np.array([outline for outline, _ in found], dtype=object)
    classes = np.array([value for _, value in found], dtype=np.uint8)
    return Polygons(geometries, classes, _mean_confidence(geometries, confidence, transform))


def _sieve_sizes(least_pixels: int) -> list[int]:
    """Ever larger ones: what is small is given to a neighbour only if that is large enough itself (GDAL's sieve)."""
    sizes = [2**power for power in range(1, max(least_pixels, 1).bit_length()) if 2**power < least_pixels]
    return [*sizes, least_pixels] if least_pixels > 1 else []


def _mean_confidence(geometries: ndarray, confidence: UInt8[ndarray, "rows columns"], transform: Affine) -> ndarray:
    """Mean of a raster over each polygon, strip by strip."""
    sums, counts = np.zeros(len(geometries)), np.zeros(len(geometries))
    if not len(geometries):
        return sums
    bounds = shapely.bounds(geometries)
    for row in range(0, confidence.shape[0], STRIP):
        strip = np.array(confidence[row : row + STRIP])
        shifted = transform * Affine.translation(0, row)
        top, bottom = shifted.f, shifted.f + strip.shape[0] * shifted.e
        index = np.flatnonzero((bounds[:, 3] > bottom) & (bounds[:, 1] < top))
        if not len(index):
            continue
        numbers = rasterize(
            zip(geometries[index], (index + 1).tolist()), out_shape=strip.shape, transform=shifted, dtype="uint32"
        )
        counts += np.bincount(numbers.ravel(), minlength=len(geometries) + 1)[1:]
        sums += np.bincount(numbers.ravel(), weights=strip.ravel() / 255, minlength=len(geometries) + 1)[1:]
    return sums / np.maximum(counts, 1)


def write_polygons(path: Path, polygons: Polygons, table: ClassTable, grid: MapGrid) -> None:
    """Writes a GeoPackage with a layer `classes`: name, index, area on the ground, mean confidence."""
    areas = shapely.area(polygons.shapes) / grid.frame.areal_scale(grid.left, grid.top)
    fields = {
        "class": np.array([table.names[index] for index in polygons.classes], dtype=object),
        "class_index": polygons.classes.astype(np.int32),
        "area": areas.astype(np.float64),
        "confidence": polygons.confidence.astype(np.float64),
    }
    wkb = shapely.to_wkb(polygons.shapes)

    def make(beside: Path) -> None:
        pyogrio.raw.write(
            str(beside), geometry=np.asarray(wkb, dtype=object), field_data=list(fields.values()), fields=list(fields),
            geometry_type="Polygon", crs=grid.frame.crs, layer=LAYER, driver="GPKG",
        )  # fmt: skip

    write_whole(path, make)
