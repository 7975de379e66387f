"""Looks into pictures that were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor


def pixels_of(path: Path, color: str) -> int:
    """How many pixels of a picture have a color, such as #c8453c, but for what smoothing makes of it."""
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    return int((np.abs(picture - ImageColor.getrgb(color)).sum(axis=-1) < 12).sum())
