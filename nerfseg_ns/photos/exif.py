"""What a photo's EXIF says: where it was taken, and with which camera."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

BROKEN = (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError, struct.error)
"""What Pillow raises for EXIF that is not well formed."""
_BELOW = (1, 3)
"""Altitude references that count downwards: below the sea level, below the ellipsoid."""


@dataclass(frozen=True)
class GpsPosition:
    """A place on the earth.

    Args:
        latitude: degrees north.
        longitude: degrees east.
        altitude: metres, above whatever the camera counts from; None if it is not said.
    """

    latitude: float
    longitude: float
    altitude: Optional[float] = None


@dataclass(frozen=True)
class ExifFacts:
    """What is used of a photo's EXIF.

    Args:
        position: of the GPS receiver; None where there is none.
        camera: what tells one camera, lens and zoom from another; all empty where the EXIF says nothing.
        orientation: the EXIF tag: 1 is upright, 5 to 8 swap width and height.
    """

    position: Optional[GpsPosition]
    camera: tuple[str, ...]
    orientation: int


def read_exif(image: Image.Image) -> ExifFacts:
    """Reads the EXIF of an opened photo; what is missing or broken counts as not said."""
    try:
        exif = image.getexif()
        main, details, gps = dict(exif), exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
    except BROKEN:
        main, details, gps = {}, {}, {}
    orientation = main.get(Base.Orientation)
    return ExifFacts(gps_position(gps), camera_key(main, details), orientation if orientation in range(1, 9) else 1)


def gps_position(gps: Mapping[int, Any]) -> Optional[GpsPosition]:
    """The position in a GPS block, None if it has no valid one.

    Args:
        gps: EXIF's GPS tags by number: degrees, minutes and seconds as rational numbers, and their references.
    """
    latitude = _angle(gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLatitudeRef), "NS", limit=90)
    longitude = _angle(gps.get(GPS.GPSLongitude), gps.get(GPS.GPSLongitudeRef), "EW", limit=180)
    if latitude is None or longitude is None:
        return None
    if latitude == 0 and longitude == 0:  # what receivers write that have found no satellites yet
        return None
    return GpsPosition(latitude, longitude, _altitude(gps))


def camera_key(main: Mapping[int, Any], details: Mapping[int, Any]) -> tuple[str, ...]:
    """What tells one camera, lens and zoom from another, as far as the EXIF tags say it."""
    values = [main.get(tag) for tag in (Base.Make, Base.Model)]
    values += [
        details.get(tag)
        for tag in (Base.BodySerialNumber, Base.LensModel, Base.FocalLength, Base.FocalLengthIn35mmFilm)
    ]
    return tuple("" if value is None else str(value).strip("\0 ") for value in values)


def _angle(parts: Any, reference: Any, signs: str, limit: float) -> Optional[float]:
    """Signed degrees; the first of `signs` is the positive direction."""
    try:
        degrees = sum(float(part) / unit for part, unit in zip(parts, (1, 60, 3600)))
        sign = {signs[0]: 1, signs[1]: -1}[_text(reference).upper()[:1]]
    except BROKEN:
        return None
    return sign * degrees if math.isfinite(degrees) and 0 <= degrees <= limit else None


def _altitude(gps: Mapping[int, Any]) -> Optional[float]:
    try:
        altitude = float(gps[GPS.GPSAltitude])
    except BROKEN:
        return None
    reference = gps.get(GPS.GPSAltitudeRef, 0)
    below = (reference[0] if isinstance(reference, bytes) and reference else reference) in _BELOW
    return (-altitude if below else altitude) if math.isfinite(altitude) else None


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
