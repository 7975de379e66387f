"""The local frame of a georeferenced scene: east, north, up in metres about an origin on the earth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from nerfseg_ns.errors import UserError

if TYPE_CHECKING:
    from pyproj import Transformer

Points = Float64[np.ndarray, "*points 3"]


@dataclass(frozen=True)
class LocalFrame:
    """East, north, up in metres, tangent to the level surface through the origin.

    Args:
        latitude: of the origin, degrees north.
        longitude: of the origin, degrees east.
        altitude: of the origin, metres above the ellipsoid (or above whatever the source counts from).
        earth_radius: metres, for sources whose earth is a sphere (Google Earth's is); None: the WGS 84 ellipsoid.

    Raises:
        UserError: there is no such place on the earth.
    """

    latitude: float
    longitude: float
    altitude: float
    earth_radius: float | None = None

    def __post_init__(self) -> None:
        finite = np.isfinite([self.latitude, self.longitude, self.altitude, self.earth_radius or 0]).all()
        if not finite or abs(self.latitude) > 90 or abs(self.longitude) > 360:
            raise UserError(
                f"({self.latitude}, {self.longitude}) at {self.altitude} m is not a place on the earth; expected "
                "latitude (-90 to 90) and longitude in degrees and the altitude in metres."
            )

    @classmethod
    def at_ecef(cls, position: Float64[np.ndarray, " 3"], earth_radius: float | None = None) -> LocalFrame:
        """The frame whose origin is at an earth-centred, earth-fixed position in metres."""
        to_geodetic = _pipeline(
            f"+proj=pipeline +step +inv +proj=cart {_earth(earth_radius)} "
            "+step +proj=unitconvert +xy_in=rad +xy_out=deg"
        )
        x, y, z = map(float, position)
        longitude, latitude, altitude = to_geodetic.transform(x, y, z)
        return cls(float(latitude), float(longitude), float(altitude), earth_radius)

    def from_geodetic(self, places: Points) -> Points:
        """Local metres of places given as latitude, longitude (degrees) and altitude (metres)."""
        places = np.asarray(places, dtype=np.float64)
        latitude, longitude, altitude = places.reshape(-1, 3).T.tolist()
        local = self._geodetic_to_local.transform(longitude, latitude, altitude)
        return np.stack(local, axis=-1).reshape(places.shape)

    def to_geodetic(self, points: Points) -> Points:
        """Latitude, longitude (degrees) and altitude (metres) of points in local metres."""
        points = np.asarray(points, dtype=np.float64)
        east, north, up = points.reshape(-1, 3).T.tolist()
        longitude, latitude, altitude = self._geodetic_to_local.transform(east, north, up, direction="INVERSE")
        return np.stack([latitude, longitude, altitude], axis=-1).reshape(points.shape)

    def from_ecef(self, points: Points) -> Points:
        """Local metres of earth-centred, earth-fixed points in metres."""
        return (np.asarray(points, dtype=np.float64) - self.ecef_origin) @ self.rotation_from_ecef.T

    def to_ecef(self, points: Points) -> Points:
        """Earth-centred, earth-fixed metres of points in local metres."""
        return np.asarray(points, dtype=np.float64) @ self.rotation_from_ecef + self.ecef_origin

    @cached_property
    def ecef_origin(self) -> Float64[np.ndarray, " 3"]:
        """The origin, earth-centred, earth-fixed, metres."""
        to_ecef = _pipeline(
            "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
            f"+step +proj=cart {_earth(self.earth_radius)}"
        )
        return np.array(to_ecef.transform(self.longitude, self.latitude, self.altitude))

    @cached_property
    def rotation_from_ecef(self) -> Float64[np.ndarray, "3 3"]:
        """Rows: the east, north and up directions in earth-centred, earth-fixed axes."""
        latitude, longitude = np.radians([self.latitude, self.longitude])
        east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
        up = np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
        return np.stack([east, np.cross(up, east), up])

    @cached_property
    def _geodetic_to_local(self) -> Transformer:
        earth = _earth(self.earth_radius)
        return _pipeline(
            f"+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart {earth} +step "
            f"+proj=topocentric {earth} +lat_0={self.latitude} +lon_0={self.longitude} +h_0={self.altitude}"
        )


def _pipeline(steps: str) -> Transformer:
    from pyproj import Transformer  # a tenth of a second, which runs without a georeference need not wait

    return Transformer.from_pipeline(steps)


def _earth(radius: float | None) -> str:
    """The earth's figure as PROJ's parameter."""
    return "+ellps=WGS84" if radius is None else f"+R={radius}"
