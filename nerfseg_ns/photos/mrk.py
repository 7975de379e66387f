"""DJI's image log (`*_Timestamp.MRK`), which RTK drones leave beside the photos, and programs correct afterwards (PPK).

A line for each photo, as the manual of the Matrice 4 explains it ("Image Log File"), its parts separated by tabs:
number, seconds and week of GPS time, the camera's offsets from the antenna (already applied), latitude, longitude,
height above the ellipsoid, three standard deviations (north, east, height; metres), and the RTK state (50: fixed,
16: single).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from nerfseg_ns.console.progress import say
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.quality import RTK_ELLIPSOID
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.find_photos import Photo
from nerfseg_ns.photos.xmp import LEAST_DEVIATION

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_LINE = re.compile(
    rf"\s*(\d+)\s.*?{_NUMBER},Lat\s+{_NUMBER},Lon\s+{_NUMBER},Ellh\s+{_NUMBER},\s*{_NUMBER},\s*{_NUMBER}\s+\d+,Q"
)
_IN_NAME = re.compile(r"_(\d{4})(?=_[A-Z]+$|$)")
"""The photo's number in its name without the suffix: DJI_20250101120000_0001_V, 100_0001_0001, DJI_0001."""
NEAR = 0.001
"""Degrees, about 100 m: a photo that says to be farther from its line is of another flight."""


def with_image_log(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """The photos with the positions of the folder's image log, where it has one.

    Args:
        photos: of the folder.
        folder: that may hold one file `*.MRK`.

    Raises:
        UserError: there are several, or it has no lines of its kind.
    """
    logs = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".mrk" and path.is_file())
    if not logs:
        return list(photos)
    if len(logs) > 1:
        raise UserError(
            f"{folder} has {len(logs)} image logs, {', '.join(log.name for log in logs)}, which number their photos "
            "alike. Leave one, or none: the photos have positions of their own."
        )
    places = read_image_log(logs[0])
    found = [_placed(photo, places) for photo in photos]
    say(f"{sum(new is not old for new, old in zip(found, photos))} of {len(photos)} positions are from {logs[0].name}")
    return found


def read_image_log(file: Path) -> dict[int, GpsPosition]:
    """The positions of an image log by the photos' numbers.

    Raises:
        UserError: it cannot be read, or has no line of the expected form.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"Cannot read the image log {file}: {error.strerror}") from error
    places = {}
    for line in filter(None, map(_LINE.match, lines)):
        latitude, longitude, height, north, east, up = map(float, line.groups()[1:])
        if latitude or longitude:  # 0, 0 before the receiver knows
            deviations = (max(north, east, LEAST_DEVIATION), max(up, LEAST_DEVIATION))
            places[int(line[1])] = GpsPosition(latitude, longitude, height, RTK_ELLIPSOID, deviations)
    if not places:
        raise UserError(
            f"{file} has no line with a position, as DJI's drones write them (... 22.77,Lat 114.10,Lon 139.2,Ellh "
            "0.01, 0.01, 0.02 50,Q). Remove it: the photos have positions of their own."
        )
    return places


def _placed(photo: Photo, places: dict[int, GpsPosition]) -> Photo:
    number = _IN_NAME.search(photo.path.stem)
    place = places.get(int(number[1])) if number else None
    if place is None or _far(photo.exif.position, place):
        return photo
    relative = None if photo.exif.position is None else photo.exif.position.above_takeoff
    return replace(photo, exif=replace(photo.exif, position=replace(place, above_takeoff=relative)))


def _far(own: Optional[GpsPosition], place: GpsPosition) -> bool:
    if own is None:
        return False
    east = abs(own.longitude - place.longitude) * math.cos(math.radians(place.latitude))
    return max(abs(own.latitude - place.latitude), east) > NEAR
