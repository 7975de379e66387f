"""Label JSONs: which program's a file is, by what it holds, and the labels in it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.coco import coco_labels
from nerfseg_ns.labels.labelme import LabelMeLabel
from nerfseg_ns.labels.photo_label import PhotoLabel


def labels_in_json(path: Path) -> list[tuple[str, PhotoLabel]]:
    """The labels in a file of LabelMe or COCO, with the stems of their photos.

    Raises:
        UserError: the file cannot be read, is neither, or its entries do not fit together.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"Cannot read the labels {path}: {error}.") from error
    return list(_labels_in_json(path, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=8)
def _labels_in_json(path: Path, changed: int, length: int) -> tuple[tuple[str, PhotoLabel], ...]:
    """Kept as long as the file does not change: a scene may name one large file for every photo."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"Cannot read the labels {path}: {error}. Is the file complete?") from error
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        content.pop("imageData", None)
        return ((path.stem, LabelMeLabel(path, content)),) if content["shapes"] else ()
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        return tuple(coco_labels(path, content))
    raise UserError(
        f'{path} is not a label file: LabelMe\'s have a list "shapes", COCO\'s have "images", "annotations" and '
        '"categories". Move it out of the folder.'
    )
