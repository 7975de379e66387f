"""A name of its own for every photo of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Dict


def name_photos(photos: Sequence[Path]) -> Dict[Path, str]:
    """Names for files that hold something of each photo.

    Args:
        photos: all different.

    Returns:
        By photo its stem; where two have the same, all have as many of their folders' names before it as it takes, as
        in `train_rgb_0001`.
    """
    depth = 1
    while True:
        names = {photo: "_".join([*photo.parts[-depth:-1], photo.stem]) for photo in photos}
        if len(set(names.values())) == len(names) or depth > max(len(photo.parts) for photo in photos):
            return names
        depth += 1
