"""Copies of the photos as the scene keeps them: upright, RGB, not too large, with their EXIF."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageOps
from PIL.ExifTags import IFD, Base

from nerfseg_ns.errors import UserError
from nerfseg_ns.photos.exif import BROKEN
from nerfseg_ns.photos.find_photos import Photo, copy_size

QUALITY = 95
"""Of JPEGs."""
KEPT = (Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.Copyright)
"""Tags of the main EXIF block that copies keep, beside the blocks of details and of GPS; the others are about how the
file is stored."""


def copy_photo(photo: Photo, target: Path, max_side: int) -> None:
    """Copies a photo; byte by byte where nothing has to be changed.

    Args:
        photo: to copy.
        target: file to write, a JPEG or PNG by its suffix.
        max_side: of the copy, in pixels.

    Raises:
        UserError: the photo's pixels cannot be read.
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
            options = {"icc_profile": image.info.get("icc_profile"), "exif": _exif_of_copy(image, size, photo.size)}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"Cannot read the photo {photo.path}: {error}. Remove it, or save it anew.") from error
    upright = upright.convert("RGB")
    if upright.size != size:  # rounded to another pixel
        upright = upright.resize(size, Image.Resampling.BICUBIC)
    upright.save(target, quality=QUALITY, **options)


def _exif_of_copy(image: Image.Image, size: tuple[int, int], before: tuple[int, int]) -> bytes:
    """The photo's EXIF without its orientation, and with what it says about pixels made true again."""
    exif = Image.Exif()
    try:
        source = image.getexif()
        exif.update({tag: source[tag] for tag in KEPT if tag in source})
        details = exif.get_ifd(IFD.Exif)
        details.update(source.get_ifd(IFD.Exif))
        details[Base.ExifImageWidth], details[Base.ExifImageHeight] = size
        for tag in (Base.FocalPlaneXResolution, Base.FocalPlaneYResolution):
            if tag in details:
                details[tag] = float(details[tag]) * max(size) / max(before)
        exif.get_ifd(IFD.GPSInfo).update(source.get_ifd(IFD.GPSInfo))
        return exif.tobytes()
    except BROKEN:  # costs COLMAP a hint at the focal length: the position was read from the photo itself
        return b""
