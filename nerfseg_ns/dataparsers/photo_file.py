"""Checks photo files before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nerfseg_ns.errors import UserError

PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg")
PHOTO_MODES = ("L", "RGB", "RGBA")


def photo_size(path: Path, modes: Sequence[str] = PHOTO_MODES) -> tuple[int, int]:
    """Width and height of a photo that can be read to its end.

    Raises:
        UserError: the file is missing, empty, cut off or not an image, or not in one of the modes (8-bit grey, RGB or
            RGBA).
    """
    if not path.is_file():
        raise UserError(f"There is no photo {path}, but the scene names it. Put it there, or take it out of the scene.")
    if path.stat().st_size == 0:
        raise UserError(f"The photo {path} is an empty file. Copy it again from its source, or remove it.")
    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
            image.draft("RGB", (size[0] // 8, size[1] // 8))  # a JPEG is read to its end in an eighth of the work
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"Cannot read the photo {path}: {error}. Copy it again from its source, or remove it from the scene."
        ) from error
    if mode not in modes:
        raise UserError(f"The photo {path} is of mode {mode}; save it with 8 bits a channel as RGB.")
    return size
