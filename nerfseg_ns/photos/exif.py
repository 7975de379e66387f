"""What a photo's EXIF says: where it was taken, and with which camera."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from nerfseg_ns.geo.quality import AS_PHOTOS, RTK_ELLIPSOID, SEA_LEVEL
from nerfseg_ns.photos.xmp import DjiFacts, read_dji

BROKEN = (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError, struct.error)
"""What Pillow raises for EXIF that is not well formed."""
_BELOW = (1, 3)
"""Altitude references that count downwards."""
_SEA = (2, 3)
"""Altitude references of EXIF 3.0 that say sea level. Its 0 and 1 say the ellipsoid, those of EXIF 2 sea level, and
cameras write them whatever they count from: 0 and 1 say nothing."""


@dataclass(frozen=True)
class GpsPosition:
    """A place on the earth.

    Args:
        latitude: degrees north.
        longitude: degrees east.
        altitude: metres, above whatever `heights` says; None if it is not said.
        heights: what the altitude is counted from, in words.
        deviations: standard deviations in plan and in height, metres; None if nobody knows.
        above_takeoff: height above the take-off point, metres; None if it is not said.
    """

    latitude: float
    longitude: float
    altitude: Optional[float] = None
    heights: str = AS_PHOTOS
    deviations: Optional[tuple[float, float]] = None
    above_takeoff: Optional[float] = None


@dataclass(frozen=True)
class ExifFacts:
    """What is used of a photo's EXIF.

    Args:
        position: of the GPS receiver; None where there is none.
        camera: what tells one camera, lens and zoom from another; all empty where the EXIF says nothing.
        orientation: the EXIF tag: 1 is upright, 5 to 8 swap width and height.
        pitch: of the camera, degrees: 0 at the horizon, -90 straight down; None if it is not said.
    """

    position: Optional[GpsPosition]
    camera: tuple[str, ...]
    orientation: int
    pitch: Optional[float] = None


def read_exif(image: Image.Image) -> ExifFacts:
    """Reads the EXIF, and DJI's XMP, of an opened photo; what is missing or broken counts as not said."""
    try:
        exif = image.getexif()
        main, details, gps = dict(exif), exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
    except BROKEN:
        main, details, gps = {}, {}, {}
    orientation = main.get(Base.Orientation)
    orientation = orientation if orientation in range(1, 9) else 1
    dji = read_dji(image.info.get("xmp"))
    position = gps_position(gps)
    if position is not None:
        position = _with_dji(position, dji)
    return ExifFacts(position, camera_key(main, details), orientation, dji.pitch)


def _with_dji(position: GpsPosition, dji: DjiFacts) -> GpsPosition:
    return replace(
        position,
        altitude=dji.absolute if position.altitude is None else position.altitude,
        heights=RTK_ELLIPSOID if dji.is_rtk else position.heights,
        deviations=dji.deviations,
        above_takeoff=dji.relative,
    )


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
    heights = SEA_LEVEL if _reference(gps) in _SEA else AS_PHOTOS
    return GpsPosition(latitude, longitude, _altitude(gps), heights)


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
    below = _reference(gps) in _BELOW
    return (-altitude if below else altitude) if math.isfinite(altitude) else None


def _reference(gps: Mapping[int, Any]) -> Any:
    reference = gps.get(GPS.GPSAltitudeRef, 0)
    return reference[0] if isinstance(reference, bytes) and reference else reference


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
