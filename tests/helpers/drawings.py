"""Vector files as someone draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely

from nerfseg_ns.geo.map_frame import LOCAL_CRS

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}
NOWHERE = LOCAL_CRS.format(unit="unit of the poses")
"""The coordinate system of maps of scenes that nobody knows the place of."""


def write_drawing(
    path: Path, geometries: list, crs: str | None = NOWHERE, layer: str | None = None, append: bool = False, **fields
) -> Path:
    """Writes geometries and the values of their fields; all texts unless they are numbers."""
    columns = {name: np.asarray(values, None if _are_numbers(values) else object) for name, values in fields.items()}
    kinds = {geometry.geom_type for geometry in geometries if geometry is not None}
    pyogrio.raw.write(
        str(path), geometry=np.array([shapely.to_wkb(geometry) for geometry in geometries], dtype=object),
        field_data=list(columns.values()), fields=list(columns), geometry_type=kinds.pop() if len(kinds) == 1 else
        "Unknown", crs=crs, layer=layer or path.stem, driver=DRIVERS[path.suffix], append=append,
    )  # fmt: skip
    return path


def _are_numbers(values: list) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
