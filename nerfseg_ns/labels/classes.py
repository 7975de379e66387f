"""The class table of a scene: names, colors and the index that means "not labelled" in its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from nerfseg_ns.core.files import write_text
from nerfseg_ns.errors import UserError

IGNORE_INDEX = 255
"""The one index for "not labelled" inside the program; files may use another, which the reader of labels maps to it."""

MAX_CLASSES = IGNORE_INDEX
"""Class indices are 8-bit and 255 is taken."""


@dataclass(frozen=True)
class ClassTable:
    """Classes of a scene; a class's index is its position.

    Immutable and hashable, so that lookups made from it can be cached.

    Args:
        names: class names, all different.
        colors: RGB triples of 0 to 255, one per class, all different.
        file_ignore_index: the index that means "not labelled" in label files; None if every pixel is labelled. It may
            be the index of a class (an "Unlabeled" class at 0, say): that class's pixels then count as not labelled.

    Raises:
        UserError: the table is empty, too long, or holds a bad or repeated entry.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    file_ignore_index: int | None = IGNORE_INDEX

    def __post_init__(self) -> None:
        self._check_entries()
        # Lists and arrays are accepted too; plain, hashable tuples are kept.
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "colors", tuple(tuple(int(value) for value in color) for color in self.colors))
        _refuse_repeats("name", self.names, self.names)
        _refuse_repeats("color", self.colors, self.names)

    def _check_entries(self) -> None:
        if not len(self.names):
            raise UserError("The class table has no classes: name at least one, with its color.")
        if len(self.names) > MAX_CLASSES:
            raise UserError(f"The class table has {len(self.names)} classes; 8-bit labels allow {MAX_CLASSES}.")
        if len(self.names) != len(self.colors):
            raise UserError(f"The class table has {len(self.names)} names and {len(self.colors)} colors.")
        for name, color in zip(self.names, self.colors, strict=True):
            if not isinstance(name, str) or not name.strip():
                raise UserError(f"The class table holds {name!r} where a class name (text) is expected.")
            if len(color) != 3 or not all(_is_byte(value) for value in color):
                raise UserError(f"Class {name!r} has the color {color}; expected three whole numbers, 0 to 255.")
        if self.file_ignore_index is not None and not _is_byte(self.file_ignore_index):
            raise UserError(f"ignore_index is {self.file_ignore_index!r}; expected a whole number, 0 to 255, or null.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def color_array(self) -> UInt8[np.ndarray, "classes 3"]:
        """The colors as an RGB array, a fresh copy."""
        return np.array(self.colors, dtype=np.uint8)

    @classmethod
    def load(cls, path: Path) -> ClassTable:
        """Reads `{"classes": [{"name": "Building", "color": [70, 70, 70]}, ...], "ignore_index": 255}`.

        Args:
            path: the file, usually `classes.json` in the scene's folder; a missing `ignore_index` is 255.

        Raises:
            UserError: the file is missing, is not JSON of this form, or its table is not valid.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8-sig"))  # Windows programs put a mark first
        except (OSError, ValueError) as error:
            raise UserError(f"Cannot read the class table {path}: {error}") from error
        try:
            return cls._from_json(content)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    @classmethod
    def _from_json(cls, content: Any) -> ClassTable:
        expected = 'expected {"classes": [{"name": "Building", "color": [70, 70, 70]}, ...], "ignore_index": 255}.'
        if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
            raise UserError(f"No list of classes in it; {expected}")
        entries = content["classes"]
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or "name" not in entry or not isinstance(entry.get("color"), list):
                raise UserError(f"Class {position} has no name or no color; {expected}")
        return cls(
            names=tuple(entry["name"] for entry in entries),
            colors=tuple(tuple(entry["color"]) for entry in entries),
            file_ignore_index=content.get("ignore_index", IGNORE_INDEX),
        )

    def save(self, path: Path) -> None:
        """Writes the table in the form that `load` reads, one class a line; the file appears whole or not at all."""
        lines = ",\n".join(
            "    " + json.dumps({"name": name, "color": list(map(int, color))}, ensure_ascii=False)
            for name, color in zip(self.names, self.colors, strict=True)
        )
        ignore = json.dumps(self.file_ignore_index)
        write_text(Path(path), f'{{\n  "ignore_index": {ignore},\n  "classes": [\n{lines}\n  ]\n}}\n')


def _is_byte(value: Any) -> bool:
    """Whether this is a whole number of 0 to 255 (True and False are not)."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(0 <= value <= 255)


def _refuse_repeats(what: str, values: tuple, names: tuple[str, ...]) -> None:
    """Raises UserError if a value occurs twice, naming both classes."""
    first: dict = {}
    for position, value in enumerate(values):
        if value in first:
            other = first[value]
            raise UserError(
                f"Classes {other} ({names[other]!r}) and {position} ({names[position]!r}) have the same {what} "
                f"{value!r}; give each class its own."
            )
        first[value] = position
