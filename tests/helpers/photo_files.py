"""Writes photos with EXIF for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2


def save_photo(
    path: Path,
    pixels: np.ndarray,
    place: tuple[float, float, float] | None = None,
    orientation: int | None = None,
    focal_35mm: int | None = None,
    model: str = "TestCam",
) -> Path:
    """Writes a photo whose EXIF says what is given.

    Args:
        path: of the file; its folder is made.
        pixels: uint8 [height, width, 3], as stored.
        place: latitude, longitude (degrees) and altitude (metres).
        orientation: EXIF's tag.
        focal_35mm: focal length on 35 mm film, in millimetres.
        model: of the camera.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    main, details = {Base.Make: "nerfseg", Base.Model: model}, {}
    if orientation is not None:
        main[Base.Orientation] = orientation
    if focal_35mm is not None:
        details[Base.FocalLengthIn35mmFilm] = focal_35mm
    gps = {} if place is None else gps_tags(*place)
    image = Image.fromarray(pixels)
    if path.suffix.startswith(".tif"):
        directory = ImageFileDirectory_v2()
        directory.update({**main, IFD.Exif: details, IFD.GPSInfo: gps})
        image.save(path, tiffinfo=directory)
    else:
        exif = image.getexif()
        exif.update(main)
        exif.get_ifd(IFD.Exif).update(details)
        exif.get_ifd(IFD.GPSInfo).update(gps)
        image.save(path, quality=95, exif=exif)
    return path


def gps_tags(latitude: float, longitude: float, altitude: float) -> dict:
    """EXIF's GPS block: degrees, minutes, seconds and references."""
    return {
        GPS.GPSLatitudeRef: "N" if latitude >= 0 else "S",
        GPS.GPSLatitude: _sexagesimal(abs(latitude)),
        GPS.GPSLongitudeRef: "E" if longitude >= 0 else "W",
        GPS.GPSLongitude: _sexagesimal(abs(longitude)),
        GPS.GPSAltitudeRef: b"\x00" if altitude >= 0 else b"\x01",
        GPS.GPSAltitude: abs(altitude),
    }


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    minutes = 60 * (degrees % 1)
    return float(int(degrees)), float(int(minutes)), 60 * (minutes % 1)
