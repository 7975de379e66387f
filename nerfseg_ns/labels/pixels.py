"""Decodes label PNGs to color codes.

A color is carried as a code, R + 256 G + 65536 B. A single-channel value v is the grey code (v, v, v), so that the
class index is always the code's first channel.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from nerfseg_ns.errors import UserError

_GREY = 0x010101
_SINGLE_CHANNEL_MODES = ("1", "L", "P")
_COLOR_MODES = ("RGB", "RGBA")
_EXPECTED = "labels must be PNGs of 8 bits a channel, class indices in one channel or colors in three."


class LabelPixels(NamedTuple):
    """A decoded label image."""

    codes: Int[np.ndarray, "height width"]
    """Color codes (see the module's docstring)."""
    opaque: Bool[np.ndarray, "height width"]
    """False where the image is fully transparent: not labelled."""
    single_channel: bool
    """Whether the file holds one channel: class indices."""
    embedded: UInt8[np.ndarray, "entries 3"] | None
    """The colors that a palette-mode PNG gives its indices."""


def decode_label(path: Path) -> LabelPixels:
    """Reads a PNG's pixels.

    Raises:
        UserError: the file is unreadable, a JPEG, or not a PNG of 8 bits a channel with one or three channels.
    """
    try:
        with Image.open(path) as image:
            if image.format == "JPEG":
                raise jpeg_error(path)
            if image.format != "PNG" or image.mode not in _SINGLE_CHANNEL_MODES + _COLOR_MODES:
                raise UserError(f"{path} is a {image.format} image of mode {image.mode}: {_EXPECTED}")
            _check_depth(path, image.mode)
            return _single_channel(image) if image.mode in _SINGLE_CHANNEL_MODES else _color(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow: SyntaxError for broken PNG chunks
        raise UserError(f"Cannot read the label image {path}: {error}. Is the file complete?") from error


def _check_depth(path: Path, mode: str) -> None:
    """Refuses PNGs whose values Pillow changes: it keeps the high half of 16 bits and scales greys of few bits."""
    with path.open("rb") as file:
        depth = file.read(25)[24]  # of the header, which comes first in every PNG
    if depth > 8:
        raise UserError(f"{path} is a PNG of {depth} bits a channel: {_EXPECTED}")
    if depth < 8 and mode != "P":
        raise UserError(
            f"{path} is a grey PNG of bit depth {depth}, which leaves open whether its white is 1 or 255: {_EXPECTED} "
            "Save it with 8 bits a channel."
        )


def _single_channel(image: Image.Image) -> LabelPixels:
    """A palette-mode PNG is read by its indices, not by the colors that it gives them."""
    indices = np.asarray(image, dtype=np.uint8)
    palette = image.getpalette() if image.mode == "P" else None
    embedded = None if palette is None else np.array(palette, dtype=np.uint8).reshape(-1, 3)
    return LabelPixels(indices.astype(np.int32) * _GREY, _opaque_values(image)[indices], True, embedded)


def _opaque_values(image: Image.Image) -> Bool[np.ndarray, "256"]:
    """Which values of a single-channel PNG are not fully transparent."""
    transparency = image.info.get("transparency")  # one value, or the opacity of each entry of the palette
    opacity = np.full(256, 255)
    if isinstance(transparency, bytes):
        opacity[: len(transparency)] = list(transparency[:256])
    elif transparency is not None and transparency < 256:
        opacity[transparency] = 0
    return opacity > 0


def _color(image: Image.Image) -> LabelPixels:
    words = np.asarray(image.convert("RGBA")).view("<u4")[..., 0]
    return LabelPixels((words & 0xFFFFFF).astype(np.int32), (words >> 24) > 0, False, None)


def describe_code(code: int) -> str:
    """A color code as text, in the file's channel order: "(70, 130, 180)"."""
    return f"({code & 0xFF}, {code >> 8 & 0xFF}, {code >> 16})"


def describe_unknown(
    path: Path, values: Int[np.ndarray, "height width"], unknown: Bool[np.ndarray, "height width"]
) -> tuple[int, str, str]:
    """Describes the most frequent of the values (color codes or indices) that a file should not hold.

    Args:
        path: the file.
        values: of its pixels.
        unknown: which of them are wrong, at least one.

    Returns:
        The value; where it is and how often ("FILE: 3 pixels, the first at row 1, column 2, hold"); and a sentence, or
        nothing, on the other wrong values.
    """
    wrong, counts = np.unique(values[unknown], return_counts=True)
    worst = int(wrong[counts.argmax()])
    row, column = np.argwhere(unknown & (values == worst))[0]
    where = f"{path}: {counts.max()} pixels, the first at row {row}, column {column}, hold"
    return worst, where, f" {len(wrong) - 1} other values are wrong too." if len(wrong) > 1 else ""


def jpeg_error(path: Path) -> UserError:
    """Why labels are not read from JPEGs."""
    return UserError(
        f"{path} is a JPEG: its compression blurs the colors at the borders of classes, so that they cannot be "
        "told apart. Save label images as PNG, from their original."
    )
