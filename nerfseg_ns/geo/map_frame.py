"""Coordinates of maps: easting, northing and height of places of a trained scene, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import Georeference
from nerfseg_ns.geo.quality import AS_PHOTOS

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

Points = Float64[np.ndarray, "points 3"]

GEODETIC = "EPSG:4326"
PATCH = 100.0
"""Side of the square, in units of a map, whose area on the earth tells the map's scale there."""
LOCAL_CRS = 'LOCAL_CS["the scene\'s own axes, not georeferenced",UNIT["{unit}",1.0000001]]'
"""A unit of exactly 1 is written into GeoTIFFs as metres, whatever its name (GDAL 3.10.3); any other as unknown."""


class MapFrame(ABC):
    """A map's coordinate system: x to the right, y upwards on the sheet, z the height.

    Attributes:
        crs: the coordinate system as WKT.
        unit: what lengths are in.
        heights: what heights are counted from, in words.
        accuracy: how far the positions that placed the scene are off, metres: `plan_m` and `height_m`, where known.
        is_georeferenced: whether it lies anywhere on the earth.
    """

    crs: str
    unit: str
    heights: str
    accuracy: dict[str, float]
    is_georeferenced: bool

    @abstractmethod
    def from_scene(self, points: Float[np.ndarray, "points 3"]) -> Points:
        """Map coordinates of points of the trained scene."""

    @abstractmethod
    def to_scene(self, points: Points) -> Points:
        """Points of the trained scene at map coordinates."""

    def areal_scale(self, x: float, y: float) -> float:
        """Area on the map per area on the ground, at a place: 1 but for projections, of which some stretch much."""
        return 1.0


@dataclass
class GeoMapFrame(MapFrame):
    """A projected coordinate system of the earth.

    Args:
        georeference: of the run.
        code: of the coordinate system, as pyproj takes it (EPSG:32617); None for the UTM zone of the scene's origin.

    Raises:
        UserError: there is no such system, or its axes are not lengths.
    """

    georeference: Georeference
    code: str | None = None
    is_georeferenced = True

    def __post_init__(self) -> None:
        if not self._crs.is_projected:
            raise UserError(
                f"--crs {self.code} is {self._crs.name}, whose axes are not lengths. Areas and pixels need a projected "
                "system, such as a UTM zone (EPSG:32617); leave --crs out for the scene's own."
            )
        if self._crs.is_compound or len(self._crs.axis_info) > 2:
            raise UserError(
                f"--crs {self.code} is {self._crs.name}, which says what heights are counted from too; a map's heights "
                "are counted as the scene's are. Give the horizontal system alone, as in EPSG:32617."
            )
        self.crs = self._crs.to_wkt()
        self.unit = self._crs.axis_info[0].unit_name
        if self.unit != "metre":
            raise UserError(
                f"--crs {self.code} is {self._crs.name}, in units of {self.unit}; heights and sizes of pixels are in "
                "metres. Give a system in metres, and let a GIS turn the map into that one."
            )
        quality = self.georeference.quality
        self.heights = quality.heights or (
            AS_PHOTOS
            if self.georeference.frame.earth_radius is None
            else "metres above Google Earth's sphere of the sea's level"
        )
        self.accuracy = quality.record().get("accuracy", {})

    @cached_property
    def _crs(self) -> CRS:
        from pyproj import CRS
        from pyproj.exceptions import CRSError

        try:
            return CRS.from_user_input(self.code or utm_zone(self.georeference))
        except CRSError as error:
            raise UserError(f"--crs {self.code} is no coordinate system that PROJ knows: {error}") from error

    @cached_property
    def _to_map(self) -> Transformer:
        from pyproj import Transformer

        return Transformer.from_crs(GEODETIC, self._crs, always_xy=True)

    def from_scene(self, points: Float[np.ndarray, "points 3"]) -> Points:
        latitude, longitude, altitude = self.georeference.to_geodetic(points).T
        x, y = self._to_map.transform(longitude, latitude)
        return np.stack([x, y, altitude], axis=-1)

    def to_scene(self, points: Points) -> Points:
        longitude, latitude = self._to_map.transform(points[:, 0], points[:, 1], direction="INVERSE")
        places = np.stack([latitude, longitude, points[:, 2]], axis=-1)
        return self.georeference.from_local(self.georeference.frame.from_geodetic(places))

    def areal_scale(self, x: float, y: float) -> float:
        from pyproj import Geod

        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * PATCH + [x, y]
        longitudes, latitudes = self._to_map.transform(corners[:, 0], corners[:, 1], direction="INVERSE")
        area, _ = Geod(ellps="WGS84").polygon_area_perimeter(longitudes, latitudes)
        return PATCH**2 / abs(float(area))


@dataclass
class LocalMapFrame(MapFrame):
    """Axes of a scene that nobody knows the place of: x and y along its ground, in the unit of its poses as given.

    Args:
        rotation: from the trained scene to the map's axes.
        scale: units of the trained scene per unit of the poses as given, nerfstudio's `dataparser_scale`.
    """

    rotation: Float64[np.ndarray, "3 3"]
    scale: float
    is_georeferenced = False

    def __post_init__(self) -> None:
        self.unit = "unit of the poses"
        self.crs = LOCAL_CRS.format(unit=self.unit)
        self.heights = "units of the poses, from the origin of the scene"
        self.accuracy = {}

    def from_scene(self, points: Float[np.ndarray, "points 3"]) -> Points:
        return np.asarray(points, dtype=np.float64) @ self.rotation.T / self.scale

    def to_scene(self, points: Points) -> Points:
        return points * self.scale @ self.rotation


def utm_zone(georeference: Georeference) -> str:
    """The UTM zone of a scene's origin, on WGS 84."""
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    frame = georeference.frame
    area = AreaOfInterest(frame.longitude, frame.latitude, frame.longitude, frame.latitude)
    zones = query_utm_crs_info(datum_name="WGS 84", area_of_interest=area)
    if not zones:
        raise UserError(f"No UTM zone holds latitude {frame.latitude}: name a coordinate system with --crs.")
    return f"EPSG:{zones[0].code}"
