"""Reads what was drawn: geometries and fields of one layer of a vector file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from numpy import ndarray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import CRSError

from nerfseg_ns.errors import UserError

FORMS = "a GeoPackage, a GeoJSON or a Shapefile"


@dataclass(frozen=True)
class Features:
    """One layer."""

    path: Path
    layer: str
    crs: Optional[pyproj.CRS]
    """None where the file does not say, or says that its axes are nowhere on the earth."""
    is_assumed: bool
    """Whether it was not the file that said it, but its format."""
    geometries: ndarray
    """shapely geometries in the file's coordinates, flat; None where a feature has none."""
    fields: Dict[str, ndarray]
    """Values by the field's name."""

    @property
    def place(self) -> str:
        """Where they are, for messages."""
        return f"{self.path} (layer {self.layer})" if self.layer != self.path.stem else str(self.path)


def read_features(path: Path, layer: Optional[str] = None) -> Features:
    """Reads a layer.

    Args:
        path: of the file.
        layer: to read; may be left out where there is only one with geometries.

    Raises:
        UserError: the file holds no such layer, or nothing that was drawn; or it is a raster.
    """
    _refuse_raster(path)
    try:
        name = _choose_layer(path, layer)
        meta, _, geometry, values = pyogrio.raw.read(path, layer=name, force_2d=True)
        geometries = shapely.from_wkb(np.asarray([] if geometry is None else geometry, dtype=object))
    except (DataSourceError, DataLayerError, shapely.GEOSException, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"Cannot read {path}: {error}. Expected {FORMS}.") from error
    if not len(geometries):
        raise UserError(f"Nothing is drawn in {path} (layer {name}): it has no features. Is it the right file?")
    fields = {str(field): column for field, column in zip(meta["fields"], values)}
    return Features(path, name, _crs(path, meta["crs"]), _says_no_crs(path), geometries, fields)


def _refuse_raster(path: Path) -> None:
    """A label map of pixels is no drawing."""
    if path.is_dir():
        return
    try:
        with rasterio.open(path) as file:
            size = f"{file.width:,} x {file.height:,}"
    except rasterio.RasterioIOError:
        return
    raise UserError(
        f"{path} is a raster of {size} pixels; polygons are wanted. nerfseg map writes those of its labels.tif into "
        "classes.gpkg; of other rasters QGIS makes them (Raster, Conversion, Polygonize)."
    )


def _choose_layer(path: Path, layer: Optional[str]) -> str:
    layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    listed = ", ".join(layers) or "none"
    if layer is not None and layer not in layers:
        raise UserError(f"There is no layer {layer} with geometries in {path}; it has: {listed}.")
    if layer is None and len(layers) != 1:
        what = "Which one was drawn? Name it with --layer." if layers else f"Expected {FORMS}."
        raise UserError(f"{path} has {len(layers)} layers with geometries ({listed}). {what}")
    return layer or layers[0]


def _crs(path: Path, text: Optional[str]) -> Optional[pyproj.CRS]:
    """The coordinate system, if it is one of the earth."""
    if text is None:
        return None
    try:
        crs = pyproj.CRS.from_user_input(text)
    except CRSError as error:
        raise UserError(
            f"The coordinate system of {path} is none that PROJ knows: {error}. Save it in another."
        ) from error
    return crs if crs.is_geographic or crs.is_projected or crs.is_geocentric or crs.is_bound else None


def _says_no_crs(path: Path) -> bool:
    """Whether this is a GeoJSON without a coordinate system: by its format it then has longitudes and latitudes."""
    if path.suffix.lower() not in (".geojson", ".json"):
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("crs") is None
