"""A name of its own for every photo of a scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Dict

from nerfseg_ns.errors import UserError


def name_photos(photos: Sequence[Path]) -> Dict[Path, str]:
    """Names for files that hold something of each photo.

    Args:
        photos: all different.

    Returns:
        By photo its stem, with the suffix where two in a folder differ only in that (`0001_jpg`, `0001_png`). If two
        would have the same name, all begin with as many of their folders' names as it takes, as in `train_rgb_0001`.

    Raises:
        UserError: no such names tell all photos apart.
    """
    twins = Counter(photo.with_suffix("") for photo in photos)
    stems = [photo.stem if twins[photo.with_suffix("")] == 1 else photo.name.replace(".", "_") for photo in photos]
    folders = [photo.relative_to(photo.anchor).parts[:-1] for photo in photos]
    for depth in range(1 + max(map(len, folders), default=0)):
        names = ["_".join([*parts[max(0, len(parts) - depth) :], stem]) for parts, stem in zip(folders, stems)]
        if len(set(names)) == len(names):
            return dict(zip(photos, names))
    name, _ = Counter(names).most_common(1)[0]
    alike = [str(photo) for photo, other in zip(photos, names) if other == name]
    raise UserError(
        f"The files made of {alike[0]} and {alike[1]} would both be called {name}. Rename one of the photos."
    )
