"""Legends and captions of sheets of pictures."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

from nerfseg_ns.labels.classes import ClassTable

MARGIN = 12
"""Pixels between the pictures of a sheet."""
INK, PAPER = (28, 36, 48), (255, 255, 255)


def legend(table: ClassTable, width: int) -> Image.Image:
    """The classes' colors and names in lines.

    Args:
        table: the classes.
        width: of the picture, pixels.
    """
    font, line = caption_font(), 22
    places, x, y = [], 0, 0
    for name, color in zip(table.names, table.colors, strict=True):
        length = 24 + math.ceil(font.getlength(name)) + 24
        if x and x + length > width:
            x, y = 0, y + line
        places.append((x, y, name, color))
        x += length
    picture = Image.new("RGB", (width, y + line), PAPER)
    draw = ImageDraw.Draw(picture)
    for x, y, name, color in places:
        draw.rectangle((x, y + 3, x + 15, y + 17), fill=color, outline=(160, 160, 160))
        draw.text((x + 22, y + 1), name, fill=INK, font=font)
    return picture


def caption_font() -> ImageFont.FreeTypeFont:
    """Of all that is written into the pictures."""
    return ImageFont.load_default(14)
