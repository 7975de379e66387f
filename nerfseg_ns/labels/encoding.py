"""How label PNGs encode classes: as indices or as colors, colors in RGB or BGR order.

Which of these a scene uses is decided once, over the colors of all its label files and the whole palette. One color
decides nothing: in Carla's newer list Rock is Sky with R and B swapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.photo_label import Size, check_size
from nerfseg_ns.labels.pixels import LabelPixels, decode_label, describe_code

Encoding = Literal["index", "rgb", "bgr"]


@dataclass(frozen=True)
class LabelColors:
    """What all label files of a scene hold together."""

    codes: Int[np.ndarray, " colors"]
    """The distinct color codes, sorted."""
    single_channel: bool
    """Whether the files have one channel: class indices."""
    embedded: frozenset[tuple[int, int]] = frozenset()
    """(index, color code) as used in palette-mode PNGs."""


def scan_labels(paths: Sequence[Path], sizes: Sequence[Size] | None = None) -> LabelColors:
    """Decodes every label file once and collects the colors.

    Args:
        paths: the label files, at least one.
        sizes: for each the size that it must have, that of its photo; None: any.

    Raises:
        UserError: a file is unreadable, not a PNG of 8 bits a channel, or of another size than its photo; or some
            files are single-channel and others color.
    """
    seen = np.zeros(1 << 24, dtype=bool)
    embedded: set[tuple[int, int]] = set()
    kinds: dict[bool, Path] = {}
    problems = ErrorCollector()
    expected: Sequence[Size | None] = sizes or [None] * len(paths)
    for path, size in zip(paths, expected, strict=True):
        with problems.collect():
            pixels = decode_label(path)
            kinds.setdefault(pixels.single_channel, path)
            seen[pixels.codes[pixels.opaque]] = True
            embedded |= _used_entries(pixels)
            if size is not None:
                check_size(path, pixels.codes.shape, size)
    problems.raise_found()
    if len(kinds) == 2:
        raise UserError(
            f"{kinds[True]} has one channel (class indices), {kinds[False]} has colors: all label files of a scene "
            "must be of one kind. Convert one kind into the other."
        )
    return LabelColors(np.flatnonzero(seen), True in kinds, frozenset(embedded))


def decide_encoding(colors: LabelColors, table: ClassTable) -> Encoding:
    """Decides how a scene's label files encode classes, over all their colors and the whole palette.

    Single-channel files hold indices. For color files the channel order is taken in which the palette has every
    color; if it has them in neither order, or all colors are grey, the first channel may hold the index. Where
    nothing fits, the best match is returned, so that reading the files names the wrong colors.

    Raises:
        UserError: both channel orders fit and give different classes, or palette-mode PNGs hold the scene's colors
            at other positions than the class table.
    """
    if colors.single_channel:
        _check_embedded(colors, table)
        return "index"
    encodings: tuple[Encoding, ...] = ("rgb", "bgr", "index")
    known = {encoding: classify(colors.codes, table, encoding)[1] for encoding in encodings}
    fitting = [encoding for encoding in encodings if encoding != "index" and known[encoding].all()]
    refuse_ambiguous_order(colors, set(fitting))
    if fitting:
        return fitting[0]
    return max(known, key=lambda encoding: int(known[encoding].sum()))


def classify(
    codes: Int[np.ndarray, "*shape"], table: ClassTable, encoding: Encoding
) -> tuple[UInt8[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
    """Class indices of color codes.

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
    """Raises UserError if both channel orders are among the fitting ones and the choice would matter."""
    asymmetric = [code for code in colors.codes if (code & 0xFF) != (code >> 16)]
    if {"rgb", "bgr"} <= fitting and asymmetric:
        raise UserError(
            f"The label files' colors (such as {describe_code(asymmetric[0])}) are in the palette in RGB and in BGR "
            "order, as different classes. Say which it is: --label-encoding rgb or bgr."
        )


@lru_cache(maxsize=4)
def _color_lookup(table: ClassTable, encoding: Encoding) -> UInt8[np.ndarray, " codes"]:
    """Class index by color code, IGNORE_INDEX where the palette has no such color: 16 MB, one gather per image."""
    colors = table.color_array.astype(np.int64)
    if encoding == "bgr":
        colors = colors[:, ::-1]
    lookup = np.full(1 << 24, IGNORE_INDEX, dtype=np.uint8)
    lookup[colors @ [1, 1 << 8, 1 << 16]] = np.arange(len(table))
    return lookup


def _used_entries(pixels: LabelPixels) -> set[tuple[int, int]]:
    """The (index, color code) pairs that occur in a palette-mode image, where it is not transparent; else none."""
    if pixels.embedded is None:
        return set()
    indices = pixels.codes[pixels.opaque] & 0xFF
    used = np.flatnonzero(np.bincount(indices, minlength=256)[: len(pixels.embedded)])
    codes = pixels.embedded[used].astype(np.int64) @ [1, 1 << 8, 1 << 16]
    return set(zip(used.tolist(), codes.tolist(), strict=True))


def _check_embedded(colors: LabelColors, table: ClassTable) -> None:
    """Refuses color labels that a PNG optimiser has turned into palette mode: their indices are arbitrary."""
    pairs = [pair for pair in colors.embedded if pair[0] != table.file_ignore_index]
    position = {sum(int(value) << 8 * k for k, value in enumerate(color)): i for i, color in enumerate(table.colors)}
    if not pairs or any(code not in position for _, code in pairs):
        return
    for index, code in sorted(pairs):
        if position[code] != index:
            raise UserError(
                f"The palette-mode label PNGs show class {table.names[position[code]]!r} in its color "
                f"{describe_code(code)} under the index {index}, but the class table has it at {position[code]}. "
                "Were color labels packed into a palette by some program? Save them as RGB PNGs."
            )
