"""Copies of the photos as the scene keeps them: upright, RGB, not too large, with their EXIF."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageOps
from PIL.ExifTags import IFD, Base

from nerfseg_ns.errors import SceneError
from nerfseg_ns.photos.exif import BROKEN
from nerfseg_ns.photos.find_photos import Photo, copy_size

QUALITY = 95
"""Of JPEGs."""


def copy_photo(photo: Photo, target: Path, max_side: int) -> None:
    """Copies a photo; byte by byte where nothing has to be changed.

    Args:
        photo: to copy.
        target: file to write, a JPEG or PNG by its suffix.
        max_side: of the copy, in pixels.

    Raises:
        SceneError: the photo's pixels cannot be read.
    """
    size = copy_size(photo.size, max_side)
    try:
        with Image.open(photo.path) as image:
            same_kind = image.format == ("PNG" if target.suffix.lower() == ".png" else "JPEG")
            if same_kind and image.mode == "RGB" and size == photo.size and photo.exif.orientation == 1:
                image.load()
                shutil.copyfile(photo.path, target)
                return
            image.thumbnail(size if photo.exif.orientation < 5 else size[::-1], reducing_gap=3.0)
            upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise SceneError(f"Cannot read the photo {photo.path}: {error}. Remove it, or save it anew.") from error
    upright = upright.resize(size) if upright.size != size else upright
    options = {
        "icc_profile": upright.info.get("icc_profile"),
        "exif": _scaled_exif(upright, max(size) / max(photo.size)),
    }
    upright.convert("RGB").save(target, quality=QUALITY, **options)


def _scaled_exif(image: Image.Image, scale: float) -> bytes:
    """The EXIF of a photo that was scaled, with what it says about pixels made true again."""
    try:
        exif = image.getexif()
        details = exif.get_ifd(IFD.Exif)
        details[Base.ExifImageWidth], details[Base.ExifImageHeight] = image.size
        for tag in (Base.FocalPlaneXResolution, Base.FocalPlaneYResolution):
            if tag in details:
                details[tag] = float(details[tag]) * scale
        exif.pop(Base.Orientation, None)
        return exif.tobytes()
    except BROKEN:  # only the guess of the focal length is lost: the position was read from the photo itself
        return b""
