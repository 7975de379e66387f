"""Label files that are written for a training, and those that are there already.

Each file says, in a chunk of the PNG's text, what its pixels were when it was written: one that was corrected by hand
is told from one that may be made anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.voc import LABELMAP, MASK_FOLDER

CHUNK = "nerfseg labels-from-map"
OTHER_FORMS = (".json",)
"""Suffixes of label files that hold those of any photo."""


class LabelFolder:
    """A folder of label files: PNGs of class indices, named as their photos.

    Args:
        folder: it need not exist.
        table: the scene's classes.
        overwrite: write over files that are there, whoever made them.

    Raises:
        UserError: labels in it cannot stand beside such files.
    """

    def __init__(self, folder: Path, table: ClassTable, overwrite: bool) -> None:
        self.folder, self.table, self.overwrite = folder, table, overwrite
        problems = ErrorCollector()
        if table.file_ignore_index is None:
            problems.add(
                UserError(
                    "classes.json says that every pixel is labelled (ignore_index null), but what is drawn on a map "
                    "covers photos in part: set its ignore_index to 255."
                )
            )
        with problems.collect():
            self._refuse_other_forms()
        with problems.collect():
            self._require_writable()
        problems.raise_found()
        self.own = [path for path in sorted(folder.glob("*.png")) if _is_as_written(path)]
        """What the same command left there, unchanged since."""

    def _refuse_other_forms(self) -> None:
        if not self.folder.is_dir():
            return
        names = [path for path in sorted(self.folder.iterdir()) if not path.name.startswith(".")]
        other = [path for path in names if path.suffix.lower() in OTHER_FORMS or path.name in (LABELMAP, MASK_FOLDER)]
        if other:
            raise UserError(
                f"{other[0]} holds labels in another form: beside PNGs, a photo might have two labels. Give another "
                "--output-dir."
            )

    def _require_writable(self) -> None:
        place = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        if not place.is_dir() or not os.access(place, os.W_OK):
            raise UserError(f"Cannot write {self.folder}: {place} does not allow it. Choose another --output-dir.")

    def require_free(self, stems: Iterable[str]) -> None:
        """Raises UserError if a file is there that would be lost, and is not one of `own`."""
        paths = [self.folder / f"{stem}.png" for stem in stems]
        lost = [path for path in paths if path.exists() and path not in self.own]
        if lost and not self.overwrite:
            raise UserError(
                f"{lost[0]} is there already ({len(lost)} such), and was not written by this command, or has been "
                "changed since: nothing was written. Give another --output-dir, or --overwrite."
            )

    def write(self, stem: str, labels: UInt8[ndarray, "height width"]) -> Path:
        """Writes the labels of a photo.

        Args:
            stem: of the photo's file.
            labels: class indices, IGNORE_INDEX where not labelled.

        Raises:
            UserError: it cannot be written.
        """
        unlabelled = np.uint8(self.table.file_ignore_index or 0)
        pixels = np.where(labels == IGNORE_INDEX, unlabelled, labels)
        info = PngInfo()
        info.add_text(CHUNK, _digest(pixels))
        path = self.folder / f"{stem}.png"
        try:
            write_whole(path, lambda beside: Image.fromarray(pixels).save(beside, pnginfo=info))
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror or error}. Choose another --output-dir.") from error
        return path

    def remove_earlier(self) -> int:
        """Takes away what an earlier drawing left, before anything is written: labels of two drawings must not lie side
        by side. Returns how many."""
        for path in self.own:
            path.unlink()
        return len(self.own)


def _is_as_written(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            noted: Optional[str] = image.info.get(CHUNK)
            return noted is not None and noted == _digest(np.asarray(image))
    except (OSError, ValueError, SyntaxError):
        return False


def _digest(pixels: ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()
