"""What a scene's transforms.json says of its labels: which photos are held out, and label files that it names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional, Set

from nerfseg_ns.dataparsers.frames import LABEL_KEY
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.find import open_label
from nerfseg_ns.labels.photo_label import PhotoLabel

HELD_OUT = ("val_filenames", "test_filenames")


@dataclass
class Listed:
    """Photos of a transforms.json, as absolute paths without their suffix."""

    held_out: Set[Path] = field(default_factory=set)
    """Labels of these measure, and are not learnt from."""
    labels: Dict[Path, Path] = field(default_factory=dict)
    """Label files that frames name themselves."""

    def holds_out(self, photo: Path) -> bool:
        """Whether a photo's labels are not to be looked at."""
        return _key(photo) in self.held_out

    def label_of(self, photo: Path) -> Optional[PhotoLabel]:
        """The labels that the photo's frame names.

        Raises:
            UserError: there is no such file, or it holds none of that photo.
        """
        file = self.labels.get(_key(photo))
        return None if file is None else open_label(file, photo.stem)


def read_transforms(scene: Path) -> Listed:
    """Reads a scene's transforms.json; without one nothing is listed.

    Raises:
        UserError: it is none.
    """
    file = scene / "transforms.json"
    if not file.is_file():
        return Listed()
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        trained = {_key(scene / name) for name in meta.get("train_filenames", [])}
        held_out = {_key(scene / name) for key in HELD_OUT for name in meta.get(key, [])}
        frames = [frame for frame in meta.get("frames", []) if LABEL_KEY in frame]
        labels = {_key(scene / frame["file_path"]): scene / frame[LABEL_KEY] for frame in frames}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"Cannot read {file}: {error}. Mend it, or move it away: label maps need no poses.") from error
    return Listed(held_out - trained, labels)


def _key(photo: Path) -> Path:
    return photo.resolve().with_suffix("")
