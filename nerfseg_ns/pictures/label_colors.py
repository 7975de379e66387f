"""Label maps in the colors of their classes: alone, over a photo, as indexed PNGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.labels.classes import IGNORE_INDEX

UNLABELLED = (235, 235, 235)
"""Color of what is not labelled."""


def color_table(palette: UInt8[ndarray, "classes 3"]) -> UInt8[ndarray, "256 3"]:
    """A color for every value of a label map: black for what is no class, UNLABELLED for IGNORE_INDEX."""
    colors = np.zeros((IGNORE_INDEX + 1, 3), dtype=np.uint8)
    colors[: len(palette)] = palette
    colors[IGNORE_INDEX] = UNLABELLED
    return colors


def color_labels(
    labels: UInt8[ndarray, "height width"], palette: UInt8[ndarray, "classes 3"]
) -> UInt8[ndarray, "height width 3"]:
    """A label map in the classes' colors."""
    return color_table(palette)[labels]


def blend_labels(
    photo: UInt8[ndarray, "height width 3"],
    labels: UInt8[ndarray, "height width"],
    palette: UInt8[ndarray, "classes 3"],
    opacity: float,
) -> UInt8[ndarray, "height width 3"]:
    """A photo with the classes' colors over it where it is labelled; untouched elsewhere."""
    mixed = (1 - opacity) * photo + opacity * color_labels(labels, palette)
    return np.where((labels != IGNORE_INDEX)[..., None], mixed.round(), photo).astype(np.uint8)


def save_labels(path: Path, labels: UInt8[ndarray, "height width"], palette: UInt8[ndarray, "classes 3"]) -> None:
    """Writes a label map as an indexed PNG: its values are class indices, its colors exactly the palette's.

    Args:
        path: to write.
        labels: class indices, IGNORE_INDEX where not labelled.
        palette: colors of the classes.
    """
    image = Image.fromarray(labels)
    image.putpalette(color_table(palette).ravel().tolist())  # makes the grey image an indexed one
    write_whole(path, image.save)
