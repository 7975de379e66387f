"""Labels in Pascal VOC's layout, as CVAT ("Segmentation mask 1.1") and Datumaro export them.

    FOLDER/labelmap.txt   FOLDER/SegmentationClass/STEM.png   (SegmentationObject/, ImageSets/ and others are not read)

A line of labelmap.txt is `name:red,green,blue:parts:actions`; the PNGs hold these colors, as RGB or through their own
palette (classic VOC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.encoding import classify
from nerfseg_ns.labels.names import class_index, is_not_labelled
from nerfseg_ns.labels.photo_label import LabelOptions, PhotoLabel
from nerfseg_ns.labels.pixels import LabelPixels, decode_label, describe_code, describe_unknown

LABELMAP = "labelmap.txt"
MASK_FOLDER = "SegmentationClass"

_FILL = ("background",)
"""What exports name the pixels that nobody drew on; not labelled, unless the class table has a class of that name."""

_BORDER = (224, 224, 192)
"""Classic VOC draws objects with a border of this color, which stands for not labelled."""

_BORDER_NAME = "__ignore__"


@dataclass(frozen=True)
class VocLabel(PhotoLabel):
    """A PNG in the colors of a labelmap.txt."""

    labelmap: Path

    @classmethod
    def own_classes(cls, labels: Sequence[VocLabel], options: LabelOptions) -> ClassTable:
        """Names and colors of the labelmap, in its order, without those that say "not labelled"."""
        classes: dict[str, tuple[int, int, int]] = {}
        for path in dict.fromkeys(label.labelmap for label in labels):
            colors = read_labelmap(path)
            for name, color in zip(colors.names, colors.colors, strict=True):
                if not is_not_labelled(name, _FILL):
                    classes.setdefault(name, color)
        try:
            return ClassTable(tuple(classes), tuple(classes.values()))
        except UserError as error:
            raise UserError(f"{labels[0].labelmap}: {error}") from error

    def read(self, table: ClassTable) -> UInt8[np.ndarray, "height width"]:
        colors = read_labelmap(self.labelmap)
        pixels = _through_palette(self.path, decode_label(self.path))
        entries, known = classify(pixels.codes, colors, "rgb")
        unknown = ~known & pixels.opaque
        if unknown.any():
            raise self._unknown_error(pixels, unknown)
        entries[~pixels.opaque] = IGNORE_INDEX
        return self._indices_of_entries(entries, colors, table)[entries]

    def _indices_of_entries(
        self, entries: UInt8[np.ndarray, "height width"], colors: ClassTable, table: ClassTable
    ) -> UInt8[np.ndarray, "256"]:
        """The class index for each entry of the labelmap that occurs in the image."""
        indices = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        counts = np.bincount(entries.ravel(), minlength=256)[: len(colors)]
        problems = ErrorCollector()
        for entry in np.flatnonzero(counts):
            where = f"{self.path}: the color {colors.colors[entry]} of {counts[entry]} pixels"
            with problems.collect():
                indices[entry] = class_index(colors.names[entry], where, table, _FILL)
        problems.raise_found()
        return indices

    def _unknown_error(self, pixels: LabelPixels, unknown: np.ndarray) -> UserError:
        worst, where, others = describe_unknown(self.path, pixels.codes, unknown)
        return UserError(
            f"{where} the color {describe_code(worst)}, which {self.labelmap} does not name.{others} Export the "
            f"labels again with their {LABELMAP}, or add the color to it (as ignore, if it stands for not labelled)."
        )


def find_masks(folder: Path) -> list[Path]:
    """The label images of an export in this layout, nothing if the folder is not one; frames may be in subfolders.

    Raises:
        UserError: the folder has only one half of an export.
    """
    labelmap, masks = folder / LABELMAP, folder / MASK_FOLDER
    if labelmap.is_file() and not masks.is_dir():
        raise UserError(f"{labelmap} exists, but the label images that belong to it are missing: put them in {masks}.")
    if masks.is_dir() and not labelmap.is_file():
        raise UserError(
            f"{masks} exists, but {labelmap} is missing, which names the class of each color: add the export's own, "
            "with lines such as Building:70,70,70::"
        )
    return sorted(path for path in masks.rglob("*") if path.is_file() and not path.name.startswith("."))


def find_labelmap(mask: Path) -> Path | None:
    """The labelmap.txt that a PNG belongs to by its place, if any."""
    for parent in mask.parents:
        if parent.name == MASK_FOLDER and (parent.parent / LABELMAP).is_file():
            return parent.parent / LABELMAP
    return None


def read_labelmap(path: Path) -> ClassTable:
    """Reads the names and colors of a labelmap.txt, all of its lines, and VOC's color of borders.

    Raises:
        UserError: it cannot be read, a line is not of the form `name:red,green,blue:parts:actions`, or names or
            colors repeat.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {error}.") from error
    numbered = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    problems = ErrorCollector()
    entries = problems.each(
        lambda item: _parse_line(path, *item), [item for item in numbered if item[1] and not item[1].startswith("#")]
    )
    problems.raise_found()
    names, colors = [name for name, _ in entries], [color for _, color in entries]
    if _BORDER not in colors and _BORDER_NAME not in names:
        names, colors = [*names, _BORDER_NAME], [*colors, _BORDER]
    try:
        return ClassTable(tuple(names), tuple(colors), file_ignore_index=None)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _parse_line(path: Path, number: int, line: str) -> tuple[str, tuple[int, int, int]]:
    name, *fields = line.rsplit(":", 3)
    values = fields[0].split(",") if fields else []
    if len(values) != 3 or not all(value.strip().isascii() and value.strip().isdigit() for value in values):
        raise UserError(f"{path}, line {number}: {line!r} is not of the form name:red,green,blue:parts:actions.")
    red, green, blue = map(int, values)
    return name.strip(), (red, green, blue)


def _through_palette(path: Path, pixels: LabelPixels) -> LabelPixels:
    """The pixels in colors, where a palette-mode PNG holds indices into its own palette."""
    if pixels.embedded is None:
        return pixels
    indices = pixels.codes & 0xFF
    if indices.max() >= len(pixels.embedded):
        raise UserError(
            f"{path} has {len(pixels.embedded)} colors in its palette, but pixels of index {indices.max()}: the file "
            "is broken. Export it again."
        )
    return pixels._replace(codes=(pixels.embedded.astype(np.int32) @ [1, 1 << 8, 1 << 16])[indices])
