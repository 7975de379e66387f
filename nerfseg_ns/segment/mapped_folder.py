"""The folder of label maps: three files a photo, each written whole; a run that was interrupted goes on.

What is written is noted, so that a label map that was corrected by hand is told from one that may be made anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.core.files import write_text, write_whole
from nerfseg_ns.errors import UserError
from nerfseg_ns.evaluation.prediction import Prediction
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.pictures.label_colors import blend_labels

FACTS = "segment.json"
PARTS = {"labels": "png", "confidence": "png", "overlay": "jpg"}
"""Folders, and the suffix of their files."""
OPACITY = 0.5
"""Of the classes' colors over the photo."""


@dataclass(frozen=True)
class MappedFolder:
    """Where label maps are written."""

    folder: Path
    table: ClassTable
    digest: str
    """Of all that the maps depend on."""
    written: Dict[str, str] = field(default_factory=dict)
    """By photo the digest of its label map, as it was written."""

    def open(self) -> None:
        """Makes the folder, or takes up an earlier one. What another state of labels or options made does not count.

        Raises:
            UserError: it holds something else, or cannot be written.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder} is a file; give another --output-dir.")
        facts = self.folder / FACTS
        if self.folder.is_dir() and any(self.folder.iterdir()) and not facts.is_file():
            raise UserError(
                f"{self.folder} holds something else than label maps of nerfseg segment (there is no {FACTS} in it); "
                "give another --output-dir. Nothing in it was touched."
            )
        try:
            if facts.is_file():
                self._take_up(_read_facts(facts))
            self.folder.mkdir(parents=True, exist_ok=True)
            self._note()
            ClassTable(self.table.names, self.table.colors).save(self.folder / "classes.json")
        except OSError as error:
            raise UserError(f"Cannot write {self.folder}: {error.strerror or error}. Choose another place.") from error

    def _take_up(self, earlier: dict) -> None:
        """Goes on with earlier maps; those of another state of labels or options are taken away."""
        written = earlier.get("written", {})
        if earlier.get("digest") == self.digest:
            self.written.update(written)
            return
        maps = sorted(self.folder.glob(f"labels/*.{PARTS['labels']}"))
        changed = [path for path in maps if written.get(path.stem) != _digest_of_file(path)]
        if changed:
            raise UserError(
                f"{changed[0]} ({len(changed)} such) is not as it was written, and the labels or options have changed, "
                "so that all maps are to be made anew. Nothing was touched: give another --output-dir. What you "
                "corrected by hand counts as a label where it lies in the scene's label folder."
            )
        for name in written:
            for path in self.files(name):
                path.unlink(missing_ok=True)

    def _note(self) -> None:
        facts = {"digest": self.digest, "classes": list(self.table.names), "written": self.written}
        write_text(self.folder / FACTS, json.dumps(facts, indent=1) + "\n")

    def files(self, name: str) -> Tuple[Path, Path, Path]:
        """Label map, confidence and overlay of a photo."""
        return tuple(self.folder / part / f"{name}.{suffix}" for part, suffix in PARTS.items())

    def has(self, name: str) -> bool:
        """Whether all of a photo's files are there."""
        return all(path.is_file() for path in self.files(name))

    def write(
        self,
        name: str,
        photo: UInt8[ndarray, "height width 3"],
        found: Prediction,
        drawn: UInt8[ndarray, "height width"],
    ) -> None:
        """Writes a photo's files.

        Args:
            name: of the files.
            photo: the photo.
            found: its label map.
            drawn: what the user drew on it, IGNORE_INDEX elsewhere: it is certain and stays.
        """
        given = drawn != IGNORE_INDEX
        labels = np.where(given, drawn, found.labels).astype(np.uint8)
        confidence = (np.where(given, 1.0, found.confidence) * 255).round().clip(0, 255).astype(np.uint8)
        overlay = blend_labels(photo, labels, self.table.color_array, OPACITY)
        self.written[name] = _digest(labels)
        self._note()  # before they are written: what an interruption leaves is known
        for path, pixels in zip(self.files(name), (labels, confidence, overlay)):
            write_whole(path, lambda beside, pixels=pixels: Image.fromarray(pixels).save(beside, quality=90))


def _read_facts(path: Path) -> dict:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _digest(labels: UInt8[ndarray, "height width"]) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()


def _digest_of_file(path: Path) -> str:
    try:
        return _digest(np.asarray(Image.open(path)))
    except (OSError, ValueError, SyntaxError):
        return ""
