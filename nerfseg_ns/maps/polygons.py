"""Polygons of the classes, as a GeoPackage: their borders are those of pixels, so that neighbours share them.

All goes in pieces: specks are taken away window by window, GDAL follows the borders row by row, and polygons are
written some at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from jaxtyping import UInt8
from numpy import ndarray
from pyogrio.errors import DataSourceError
from rasterio.features import rasterize, shapes, sieve
from rasterio.transform import Affine
from rasterio.windows import Window
from shapely.geometry import shape

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.maps.layers import certainty
from nerfseg_ns.maps.rasters import CACHE_MB

LAYER = "classes"
VERSION = "1.2"
"""Of GeoPackages: GDAL 3.12 writes 1.4, at which QGIS 3.22 warns that it may not understand all."""
STRIP = 2048
WINDOW = 4096
"""Pixels, both ways, that specks are taken away in at once."""
MARGIN = 256
"""Pixels around a window that are looked at too, at least; more for large specks, which may reach farther."""
BATCH = 10_000
"""Polygons that are held at once."""
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
    labels: DiskArray, confidence: DiskArray, grid: MapGrid, least_pixels: int, place: Path
) -> Iterator[Polygons]:
    """Polygons of a label map, some at a time.

    Args:
        labels: class indices [rows, columns], IGNORE_INDEX where nothing is known.
        confidence: 1 to 255 [rows, columns].
        grid: of the map.
        least_pixels: smaller ones are given to the neighbour that they have most in common with.
        place: folder for a raster that is not kept.
    """
    transform = Affine(grid.resolution, 0, grid.left, 0, -grid.resolution, grid.top)
    cleaned = place / "cleaned.tif"
    _write_cleaned(labels, grid, least_pixels, transform, cleaned)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), rasterio.open(cleaned) as file:
        outlines = shapes(rasterio.band(file, 1), connectivity=CONNECTIVITY)
        known = ((shape(outline), int(value)) for outline, value in outlines if value != IGNORE_INDEX)
        while some := list(islice(known, BATCH)):
            geometries = np.array([outline for outline, _ in some], dtype=object)
            classes = np.array([value for _, value in some], dtype=np.uint8)
            yield Polygons(geometries, classes, _mean_confidence(geometries, confidence, transform))


def _write_cleaned(labels: DiskArray, grid: MapGrid, least_pixels: int, transform: Affine, path: Path) -> None:
    """A label map without specks as a GeoTIFF, which GDAL reads row by row. It must say where it is: `transform` of
    rasterio 1.4.4's `shapes` counts for arrays only."""
    profile = dict(
        driver="GTiff", width=grid.columns, height=grid.rows, count=1, dtype="uint8", compress="DEFLATE", tiled=True,
        bigtiff="IF_SAFER", transform=transform,
    )  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        margin = min(max(MARGIN, least_pixels), WINDOW)
        for tile in grid.tiles(WINDOW):
            wide = tile.widened(margin, grid)
            cleaned = _without_specks(labels[wide.slices], least_pixels)[tile.within(wide)]
            file.write(cleaned, 1, window=_window(tile))


def _window(tile: Tile) -> Window:
    return Window(tile.column, tile.row, tile.columns, tile.rows)


def _without_specks(labels: UInt8[ndarray, "rows columns"], least_pixels: int) -> UInt8[ndarray, "rows columns"]:
    known = labels != IGNORE_INDEX
    for size in _sieve_sizes(least_pixels):
        labels = sieve(labels, size, mask=known, connectivity=CONNECTIVITY)
        labels[~known] = IGNORE_INDEX
    return labels


def _sieve_sizes(least_pixels: int) -> list[int]:
    """Ever larger ones: what is small is given to a neighbour only if that is large enough itself (GDAL's sieve)."""
    sizes = [2**power for power in range(1, max(least_pixels, 1).bit_length()) if 2**power < least_pixels]
    return [*sizes, least_pixels] if least_pixels > 1 else []


def _mean_confidence(geometries: ndarray, confidence: DiskArray, transform: Affine) -> ndarray:
    """Mean of a raster over each polygon, strip by strip."""
    sums, counts = np.zeros(len(geometries)), np.zeros(len(geometries))
    bounds = shapely.bounds(geometries)
    for row in range(0, confidence.shape[0], STRIP):
        rows = min(STRIP, confidence.shape[0] - row)
        shifted = transform * Affine.translation(0, row)
        top, bottom = shifted.f, shifted.f + rows * shifted.e
        index = np.flatnonzero((bounds[:, 3] > bottom) & (bounds[:, 1] < top))
        if not len(index):
            continue
        strip = confidence[row : row + rows]
        numbers = rasterize(
            zip(geometries[index], (index + 1).tolist()), out_shape=strip.shape, transform=shifted, dtype="uint32"
        )
        counts += np.bincount(numbers.ravel(), minlength=len(geometries) + 1)[1:]
        sums += np.bincount(numbers.ravel(), weights=certainty(strip).ravel(), minlength=len(geometries) + 1)[1:]
    return sums / np.maximum(counts, 1)


def write_polygons(path: Path, polygons: Iterator[Polygons], table: ClassTable, grid: MapGrid) -> None:
    """Writes a GeoPackage with a layer `classes`: name, index, area on the ground, mean confidence."""

    def make(beside: Path) -> None:
        _write_some(beside, Polygons(*np.empty((3, 0), dtype=object)), table, grid, append=False)
        for some in polygons:
            _write_some(beside, some, table, grid, append=True)

    try:
        write_whole(path, make)
    except DataSourceError as error:  # GDAL's, of a full disk too
        raise OSError(str(error)) from error


def _write_some(path: Path, polygons: Polygons, table: ClassTable, grid: MapGrid, append: bool) -> None:
    areas = shapely.area(polygons.shapes) / grid.frame.areal_scale(grid.left, grid.top)
    fields = {
        "class": np.array([table.names[index] for index in polygons.classes], dtype=object),
        "class_index": polygons.classes.astype(np.int32),
        "area": areas.astype(np.float64),
        "confidence": polygons.confidence.astype(np.float64),
    }
    pyogrio.raw.write(
        str(path), geometry=np.asarray(shapely.to_wkb(polygons.shapes), dtype=object), fields=list(fields),
        field_data=list(fields.values()), geometry_type="Polygon", crs=grid.frame.crs, layer=LAYER, driver="GPKG",
        append=append, dataset_options={} if append else {"VERSION": VERSION},
    )  # fmt: skip
