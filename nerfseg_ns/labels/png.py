"""Labels as PNGs: class indices or class colors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.encoding import Encoding, LabelColors, classify, decide_encoding, scan_labels
from nerfseg_ns.labels.palettes import choose_table
from nerfseg_ns.labels.photo_label import LabelOptions, PhotoLabel, Size
from nerfseg_ns.labels.pixels import decode_label, describe_code, describe_unknown


@dataclass(frozen=True)
class PngLabel(PhotoLabel):
    """A PNG of class indices or class colors."""

    encoding: Encoding | None = None
    """Set by `prepare`, which examines all files of the scene."""

    @classmethod
    def own_classes(cls, labels: Sequence[PngLabel], options: LabelOptions) -> ClassTable:
        """A built-in palette that fits the colors of all files."""
        return choose_table(scan_labels([label.path for label in labels]), options.palette, options.encoding)

    @classmethod
    def prepare(
        cls, labels: Sequence[PngLabel], sizes: Sequence[Size], table: ClassTable, options: LabelOptions
    ) -> list[PngLabel]:
        """Decides the encoding over all files and checks every file; see `PhotoLabel.prepare`."""
        paths = [label.path for label in labels]
        colors = scan_labels(paths, sizes)
        encoding: Encoding = decide_encoding(colors, table) if options.encoding == "auto" else options.encoding
        check_labels(paths, colors, table, encoding)
        return [replace(label, encoding=encoding) for label in labels]

    def read(self, table: ClassTable) -> UInt8[np.ndarray, "height width"]:
        if self.encoding is None:
            raise ValueError("prepare() decides how PNGs are read")
        return read_label(self.path, table, self.encoding)


def check_labels(paths: Sequence[Path], colors: LabelColors, table: ClassTable, encoding: Encoding) -> None:
    """Raises UserError, with file, pixel and count, if a color or an index is not in the class table."""
    wrong_kind = colors.single_channel and encoding != "index"
    if classify(colors.codes, table, encoding)[1].all() and not wrong_kind:
        return
    problems = ErrorCollector()
    problems.each(lambda path: read_label(path, table, encoding), paths)
    problems.raise_found()


def read_label(path: Path, table: ClassTable, encoding: Encoding) -> UInt8[np.ndarray, "height width"]:
    """Reads one label image.

    Args:
        path: a PNG.
        table: the scene's classes.
        encoding: from `decide_encoding`.

    Returns:
        Class indices; IGNORE_INDEX where the file's own ignore index stands or the image is fully transparent.

    Raises:
        UserError: see `scan_labels`; or a color or index is not in the table.
    """
    pixels = decode_label(path)
    if pixels.single_channel and encoding != "index":
        raise UserError(f"{path} has one channel (class indices) where colors in {encoding.upper()} are expected.")
    labels, known = classify(pixels.codes, table, encoding)
    unknown = ~known & pixels.opaque
    if unknown.any():
        raise _unknown_error(path, pixels.codes, unknown, table, encoding)
    labels[~pixels.opaque] = IGNORE_INDEX
    return labels


def _unknown_error(
    path: Path,
    codes: Shaped[np.ndarray, "height width"],
    unknown: Bool[np.ndarray, "height width"],
    table: ClassTable,
    encoding: Encoding,
) -> UserError:
    """Says which color or index, where, how many pixels and what to do, of the most frequent one that is wrong."""
    worst, where, others = describe_unknown(path, codes & 0xFF if encoding == "index" else codes, unknown)
    if encoding == "index":
        return UserError(
            f"{where} the class index {worst}, but the class table has {len(table)} classes (0 to {len(table) - 1}) "
            f"and the ignore index {table.file_ignore_index}.{others} Correct the file, the class table or its "
            "ignore_index."
        )
    return UserError(
        f"{where} the color {describe_code(worst)}, which in {encoding.upper()} order is none of the {len(table)} "
        f"colors of the class table.{others} Add the color to classes.json (if it stands for not labelled, as a "
        "class whose position is the ignore_index), or draw the labels without smoothed borders."
    )
