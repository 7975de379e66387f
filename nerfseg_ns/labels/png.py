"""Labels as PNGs: class indices or colours, colours in RGB or BGR order.

Which of these a scene uses is decided once, over the colours of all its label files and the whole palette. One colour
decides nothing: in Carla's newer list Rock is Sky with R and B swapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from nerfseg_ns.errors import Problems, SceneError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.photo_label import LabelOptions, PhotoLabel, Size, check_size
from nerfseg_ns.labels.pixels import decode_label, describe_code, describe_unknown

Encoding = Literal["index", "rgb", "bgr"]


@dataclass(frozen=True)
class PngLabel(PhotoLabel):
    """A PNG of class indices or class colours."""

    encoding: Encoding | None = None
    """Set by `prepare`, which looks at all files of the scene."""

    @classmethod
    def own_classes(cls, labels: Sequence[PhotoLabel], options: LabelOptions) -> ClassTable:
        """A built-in palette that fits the colours of all files."""
        from nerfseg_ns.labels.palettes import choose_table  # palettes are chosen by how well they read the files

        return choose_table(scan_labels([label.path for label in labels]), options.palette, options.encoding)

    @classmethod
    def prepare(
        cls, labels: Sequence[PhotoLabel], sizes: Sequence[Size], table: ClassTable, options: LabelOptions
    ) -> list[PhotoLabel]:
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


@dataclass(frozen=True)
class LabelColors:
    """What all label files of a scene hold together."""

    codes: Int[np.ndarray, " colors"]
    """The distinct colour codes, sorted."""
    single_channel: bool
    """Whether the files have one channel: class indices."""
    embedded: frozenset[tuple[int, int]] = frozenset()
    """(index, colour code) as used in palette-mode PNGs."""


def scan_labels(paths: Sequence[Path], sizes: Sequence[Size] | None = None) -> LabelColors:
    """Decodes every label file once and collects the colours.

    Args:
        paths: the label files, at least one.
        sizes: for each the size that it must have, that of its photo; None: any.

    Raises:
        SceneError: a file is unreadable, not a PNG of 8 bits a channel, or of another size than its photo; or some
            files are single-channel and others colour.
    """
    seen = np.zeros(1 << 24, dtype=bool)
    embedded: set[tuple[int, int]] = set()
    kinds: dict[bool, Path] = {}
    problems = Problems()
    for path, size in zip(paths, sizes or [None] * len(paths), strict=True):
        with problems.collect():
            pixels = decode_label(path)
            kinds.setdefault(pixels.single_channel, path)
            seen[pixels.codes[pixels.opaque]] = True
            if pixels.embedded is not None:
                embedded |= _used_entries(pixels)
            if size is not None:
                check_size(path, pixels.codes.shape, size)
    problems.raise_found()
    if len(kinds) == 2:
        raise SceneError(
            f"{kinds[True]} has one channel (class indices), {kinds[False]} has colours: all label files of a scene "
            "are of one kind. Convert the ones into the others."
        )
    return LabelColors(np.flatnonzero(seen), True in kinds, frozenset(embedded))


def decide_encoding(colors: LabelColors, table: ClassTable) -> Encoding:
    """Decides how a scene's label files encode classes, over all their colours and the whole palette.

    Single-channel files hold indices. Of colour files, that channel order is taken in which the palette has every
    colour; if it has them in neither order, or all colours are grey, the first channel may hold the index. Where
    nothing fits, the nearest is returned, so that reading the files names the colours that are wrong.

    Raises:
        SceneError: both channel orders fit and give different classes, or palette-mode PNGs hold the scene's colours
            at other positions than the class table.
    """
    if colors.single_channel:
        _check_embedded(colors, table)
        return "index"
    known = {encoding: classify(colors.codes, table, encoding)[1] for encoding in ("rgb", "bgr", "index")}
    fitting: list[Encoding] = [encoding for encoding in ("rgb", "bgr") if known[encoding].all()]
    refuse_ambiguous_order(colors, set(fitting))
    if fitting:
        return fitting[0]
    return max(known, key=lambda encoding: int(known[encoding].sum()))


def check_labels(paths: Sequence[Path], colors: LabelColors, table: ClassTable, encoding: Encoding) -> None:
    """Raises SceneError, with file, pixel and count, if a colour or an index is not in the class table."""
    wrong_kind = colors.single_channel and encoding != "index"
    if classify(colors.codes, table, encoding)[1].all() and not wrong_kind:
        return
    problems = Problems()
    problems.each(lambda path: read_label(path, table, encoding), paths)
    problems.raise_found()


def read_label(
    path: Path, table: ClassTable, encoding: Encoding, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "height width"]:
    """Reads one label image.

    Args:
        path: a PNG.
        table: the scene's classes.
        encoding: from `decide_encoding`.
        size: (width, height) that the image must have; None: any.

    Returns:
        Class indices; IGNORE_INDEX where the file's own ignore index stands or the image is fully transparent.

    Raises:
        SceneError: see `scan_labels`; or a colour or index is not in the table.
    """
    pixels = decode_label(path)
    if size is not None:
        check_size(path, pixels.codes.shape, size)
    if pixels.single_channel and encoding != "index":
        raise SceneError(f"{path} has one channel (class indices) where colours in {encoding.upper()} are expected.")
    labels, known = classify(pixels.codes, table, encoding)
    unknown = ~known & pixels.opaque
    if unknown.any():
        raise _unknown_error(path, pixels.codes, unknown, table, encoding)
    labels[~pixels.opaque] = IGNORE_INDEX
    return labels


def classify(
    codes: Int[np.ndarray, "*shape"], table: ClassTable, encoding: Encoding
) -> tuple[UInt8[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
    """Class indices of colour codes.

    Returns:
        The classes (IGNORE_INDEX where not labelled or not known) and whether the table knows the code.
    """
    ignore = table.file_ignore_index
    if encoding == "index":
        labels = (codes & 0xFF).astype(np.uint8)
        known = labels < len(table)
        if ignore is not None:
            known |= labels == ignore
        labels[~known] = IGNORE_INDEX
    else:
        labels = _color_lookup(table, encoding)[codes]
        known = labels != IGNORE_INDEX
    if ignore is not None:
        labels[labels == ignore] = IGNORE_INDEX
    return labels, known


def refuse_ambiguous_order(colors: LabelColors, fitting: set[str]) -> None:
    """Raises SceneError if both channel orders are among the fitting ones and the choice would matter."""
    asymmetric = [code for code in colors.codes if (code & 0xFF) != (code >> 16)]
    if {"rgb", "bgr"} <= fitting and asymmetric:
        raise SceneError(
            f"The label files' colours (such as {describe_code(asymmetric[0])}) are in the palette in RGB and in BGR "
            "order, as different classes. Say which it is: --label-encoding rgb or bgr."
        )


@lru_cache(maxsize=4)
def _color_lookup(table: ClassTable, encoding: Encoding) -> UInt8[np.ndarray, " codes"]:
    """Class index by colour code, IGNORE_INDEX where the palette has no such colour: 16 MB, one gather an image."""
    colors = table.color_array.astype(np.int64)
    if encoding == "bgr":
        colors = colors[:, ::-1]
    lookup = np.full(1 << 24, IGNORE_INDEX, dtype=np.uint8)
    lookup[colors @ [1, 1 << 8, 1 << 16]] = np.arange(len(table))
    return lookup


def _used_entries(pixels: LabelPixels) -> set[tuple[int, int]]:
    """The (index, colour code) pairs that occur in a palette-mode image, where it is not transparent."""
    indices = pixels.codes[pixels.opaque] & 0xFF
    used = np.flatnonzero(np.bincount(indices, minlength=256)[: len(pixels.embedded)])
    codes = pixels.embedded[used].astype(np.int64) @ [1, 1 << 8, 1 << 16]
    return set(zip(used.tolist(), codes.tolist(), strict=True))


def _check_embedded(colors: LabelColors, table: ClassTable) -> None:
    """Refuses colour labels that a PNG optimiser has turned into palette mode: their indices are arbitrary."""
    pairs = [pair for pair in colors.embedded if pair[0] != table.file_ignore_index]
    position = {sum(int(value) << 8 * k for k, value in enumerate(color)): i for i, color in enumerate(table.colors)}
    if not pairs or any(code not in position for _, code in pairs):
        return
    for index, code in sorted(pairs):
        if position[code] != index:
            raise SceneError(
                f"The palette-mode label PNGs show class {table.names[position[code]]!r} in its colour "
                f"{describe_code(code)} under the index {index}, but the class table has it at {position[code]}: "
                "colour labels that a program has packed into a palette? Save them as RGB PNGs."
            )


def _unknown_error(
    path: Path,
    codes: Shaped[np.ndarray, "height width"],
    unknown: Bool[np.ndarray, "height width"],
    table: ClassTable,
    encoding: Encoding,
) -> SceneError:
    """Says which colour or index, where, how many pixels and what to do, of the most frequent one that is wrong."""
    worst, where, others = describe_unknown(path, codes & 0xFF if encoding == "index" else codes, unknown)
    if encoding == "index":
        return SceneError(
            f"{where} the class index {worst}, but the class table has {len(table)} classes (0 to {len(table) - 1}) "
            f"and the ignore index {table.file_ignore_index}.{others} Correct the file, the class table or its "
            "ignore_index."
        )
    return SceneError(
        f"{where} the colour {describe_code(worst)}, which in {encoding.upper()} order is none of the {len(table)} "
        f"colours of the class table.{others} Add the colour to classes.json (if it stands for not labelled, as a "
        "class whose position is the ignore_index), or draw the labels without smoothed borders."
    )
