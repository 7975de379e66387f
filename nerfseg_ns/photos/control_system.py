"""The coordinate system of ground control: places on WGS 84, and what their heights are counted from."""

from __future__ import annotations

from functools import cached_property
from typing import Optional

import numpy as np
import pyproj

from nerfseg_ns.geo.grids import missing_grids, rough_way_remark
from nerfseg_ns.geo.quality import AS_CONTROL, ELLIPSOID
from nerfseg_ns.photos.exif import GpsPosition

PLACES, PLACES_IN_SPACE = "EPSG:4326", "EPSG:4979"


class ControlSystem:
    """Turns x, y, z of a ground control file into places.

    Heights are turned into those above the ellipsoid if the system says what they are counted from and PROJ has the
    grid for it. PROJ's own answer without the grid is the height unchanged, and no word of that.

    Args:
        crs: of the file. Without a vertical part, z is in the unit of x and y (metres, where these are degrees).
    """

    def __init__(self, crs: pyproj.CRS) -> None:
        self.crs = crs
        self.in_space = crs.is_compound or len(crs.axis_info) == 3
        self._transformer = pyproj.Transformer.from_crs(
            crs, PLACES_IN_SPACE if self.in_space else PLACES, always_xy=True
        )
        unit = crs.axis_info[0].unit_conversion_factor if crs.is_projected and crs.axis_info else 1.0
        self._unit = 1.0 if self.in_space else unit

    def place(self, x: float, y: float, z: float) -> Optional[GpsPosition]:
        """The place, None if there is none in this system."""
        if self.in_space:
            longitude, latitude, altitude = self._transformer.transform(x, y, z)
        else:
            longitude, latitude = self._transformer.transform(x, y)
            altitude = z * self._unit
        if not np.isfinite([longitude, latitude, altitude]).all():
            return None
        return GpsPosition(float(latitude), float(longitude), float(altitude), self.heights)

    @cached_property
    def heights(self) -> str:
        """What the heights of places are counted from, in words."""
        if not self.in_space:
            return AS_CONTROL
        if not self.missing_grids:
            return ELLIPSOID
        vertical = next((part.name for part in self.crs.sub_crs_list if part.is_vertical), self.crs.name)
        return f"metres as the ground control counts them ({vertical})"

    @cached_property
    def missing_grids(self) -> list[str]:
        """Names of the grids that PROJ would need for its best way to WGS 84."""
        return missing_grids(self.crs, PLACES_IN_SPACE if self.in_space else PLACES)

    def remark(self) -> str:
        """What PROJ cannot do for want of a grid, in a sentence; empty if nothing."""
        if self.in_space:
            return rough_way_remark(self.crs, PLACES_IN_SPACE, "heights stay as they are")
        return rough_way_remark(self.crs, PLACES)
