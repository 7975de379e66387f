"""Which class each drawn feature says."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Dict, List, Optional

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.names import is_not_labelled
from nerfseg_ns.maps.drawn.features import Features

FIELDS = ("class", "classname", "label", "category", "name", "classindex", "classinde", "classid", "labelid")
"""Names of fields that hold the class, without case, blanks and underscores, the likeliest first; Shapefiles cut names
to ten letters."""
NO_CLASS = -1
"""Of features whose field is empty."""


@dataclass(frozen=True)
class FieldReading:
    """What a field says."""

    name: str
    classes: Int64[ndarray, " features"]
    """Class indices; IGNORE_INDEX erases what lies below, NO_CLASS says nothing."""
    unknown: List[str]
    """Values that are no class."""

    @property
    def known(self) -> int:
        """How many features it gives a class."""
        return int((self.classes >= 0).sum())


def find_classes(features: Features, table: ClassTable, field: Optional[str] = None) -> FieldReading:
    """The class of each feature.

    Args:
        features: of the file.
        table: the scene's classes.
        field: that holds them; found by its name unless given.

    Raises:
        UserError: there is no such field, or it names classes that the scene does not have.
    """
    reading = _choose(features, table, field)
    if reading.unknown:
        names = ", ".join(map(_describe(table), reading.unknown))
        raise UserError(
            f"The field {reading.name} of {features.place} names classes that the scene does not have: {names}. It has "
            f"{', '.join(table.names)}. Correct the names, choose another --field, or add the classes to classes.json."
        )
    if reading.known == 0:
        raise UserError(f"The field {reading.name} of {features.place} is empty everywhere. Choose another --field.")
    return reading


def _choose(features: Features, table: ClassTable, field: Optional[str]) -> FieldReading:
    if field is not None:
        if field not in features.fields:
            raise UserError(f"There is no field {field} in {features.place}; it has {_listed(features.fields)}.")
        return _read(field, features.fields[field], table)
    ranks = {name: _rank(name) for name in features.fields}
    likely = sorted((name for name in ranks if ranks[name] < len(FIELDS)), key=ranks.__getitem__)
    readings = [_read(name, features.fields[name], table) for name in likely]
    if not readings:
        raise UserError(
            f"No field of {features.place} is called class, label, category, name or class_index; it has "
            f"{_listed(features.fields)}. Name the one that holds the classes ({', '.join(table.names)}) with --field."
        )
    clear = [reading for reading in readings if reading.known and not reading.unknown]
    if any((reading.classes != clear[0].classes).any() for reading in clear[1:]):
        raise UserError(
            f"The fields {' and '.join(reading.name for reading in clear)} of {features.place} all hold classes, but "
            "other ones. Name the one that counts with --field."
        )
    return clear[0] if clear else max(readings, key=lambda reading: reading.known)


def _rank(name: str) -> int:
    plain = name.lower().replace("_", "").replace(" ", "").replace("-", "")
    return FIELDS.index(plain) if plain in FIELDS else len(FIELDS)


def _read(name: str, values: ndarray, table: ClassTable) -> FieldReading:
    by_value: Dict[str, Optional[int]] = {}
    texts = [_text(value) for value in values]
    for text in texts:
        by_value.setdefault(text, _class_of(text, table))
    unknown = [text for text, index in by_value.items() if index is None]
    classes = [NO_CLASS if by_value[text] is None else by_value[text] for text in texts]
    return FieldReading(name, np.array(classes, dtype=np.int64), unknown)


def _text(value: Any) -> str:
    """A value as text; whole numbers may be stored as others."""
    if value is None or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _class_of(text: str, table: ClassTable) -> Optional[int]:
    """The class that a value names, by name or index; None where there is none such."""
    if not text:
        return NO_CLASS
    if text in table.names:
        index = table.names.index(text)
    elif text.isdecimal() and int(text) < len(table):
        index = int(text)
    else:
        return IGNORE_INDEX if is_not_labelled(text) or text == str(IGNORE_INDEX) else None
    return IGNORE_INDEX if index == table.file_ignore_index else index


def _describe(table: ClassTable):
    by_lower = {name.lower(): name for name in table.names}

    def describe(value: str) -> str:
        near = get_close_matches(value.lower(), by_lower, n=1)
        return f"{value!r} (is {by_lower[near[0]]!r} meant?)" if near else repr(value)

    return describe


def _listed(fields: Dict[str, ndarray]) -> str:
    return ", ".join(fields) if fields else "no fields at all"
