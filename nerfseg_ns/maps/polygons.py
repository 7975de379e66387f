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
from rasterio.features import shapes, sieve
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
STRIP_PIXELS = 2**22
"""Pixels of a strip of rows, in which the confidence of polygons is summed up at once: some 30 bytes each."""
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
    cleaned = place / "cleaned.tif"
    _write_cleaned(labels, grid, least_pixels, cleaned)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), rasterio.open(cleaned) as file:
        outlines = shapes(rasterio.band(file, 1), connectivity=CONNECTIVITY)
        known = ((shape(outline), int(value)) for outline, value in outlines if value != IGNORE_INDEX)
        while some := list(islice(known, BATCH)):
            geometries = np.array([outline for outline, _ in some], dtype=object)
            classes = np.array([value for _, value in some], dtype=np.uint8)
            yield Polygons(geometries, classes, _mean_confidence(geometries, confidence, grid))


def _write_cleaned(labels: DiskArray, grid: MapGrid, least_pixels: int, path: Path) -> None:
    """A label map without specks as a GeoTIFF, which GDAL reads row by row. It must say where it is: `transform` of
    rasterio 1.4.4's `shapes` counts for arrays only."""
    profile = dict(
        driver="GTiff", width=grid.columns, height=grid.rows, count=1, dtype="uint8", compress="DEFLATE", tiled=True,
        bigtiff="IF_SAFER", transform=grid.transform,
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


def _mean_confidence(geometries: ndarray, confidence: DiskArray, grid: MapGrid) -> ndarray:
    """Mean of a raster over each polygon, whose borders are those of pixels.

    The sum over a polygon is that over its right edges, of all that lies left of them in their rows, less that over its
    left edges: to draw large polygons with many corners (GDAL's rasterize) takes a hundred times as long.
    """
    edges = _upright_edges(geometries, grid)
    sums = np.zeros(len(geometries))
    strip_rows = max(1, STRIP_PIXELS // grid.columns)
    for row in range(0, grid.rows, strip_rows):
        rows = min(strip_rows, grid.rows - row)
        first, last = (end.clip(row, row + rows) - row for end in (edges.first, edges.last))
        cut = np.flatnonzero(last > first)
        if not len(cut):
            continue
        left_of = np.zeros((rows, grid.columns + 1))
        np.cumsum(certainty(confidence[row : row + rows]), axis=1, out=left_of[:, 1:], dtype=np.float64)
        lengths = last[cut] - first[cut]
        each = np.repeat(cut, lengths)
        at = np.arange(len(each)) + np.repeat(first[cut] - np.cumsum(lengths) + lengths, lengths)
        weights = edges.sign[each] * left_of[at, edges.column[each]]
        sums += np.bincount(edges.polygon[each], weights=weights, minlength=len(geometries))
    return sums / np.maximum(shapely.area(geometries) / grid.resolution**2, 1e-9)


@dataclass
class _Edges:
    """Edges along the columns, in pixels."""

    polygon: ndarray
    column: ndarray
    first: ndarray
    """Row."""
    last: ndarray
    """Row after the last."""
    sign: ndarray
    """1 where the polygon lies to the left, -1 where it lies to the right."""


def _upright_edges(geometries: ndarray, grid: MapGrid) -> _Edges:
    rings, polygon = shapely.get_rings(geometries, return_index=True)
    is_outer = np.diff(polygon, prepend=-1) > 0
    turns = np.where(shapely.is_ccw(rings) == is_outer, 1, -1)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    rows, columns = np.rint(grid.pixels_at(corners)).astype(int).T
    edge = np.flatnonzero((ring[1:] == ring[:-1]) & (columns[1:] == columns[:-1]) & (rows[1:] != rows[:-1]))
    start, end = rows[edge], rows[edge + 1]
    sign = turns[ring[edge]] * np.where(end < start, 1, -1)  # upwards is towards smaller rows
    return _Edges(polygon[ring[edge]], columns[edge], np.minimum(start, end), np.maximum(start, end), sign)


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
