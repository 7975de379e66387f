"""Codes of the ASPRS for the classes of a scene, by their names (LAS 1.4 R15, table 17)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Union

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import ClassTable

VEGETATION = "vegetation"
"""Instead of a code: low, medium or high vegetation by the height above the ground, medium without metres."""
FIRST_FREE = 64
"""From here to 255 codes are the user's."""
CODES: dict[str, Union[int, str]] = {
    **dict.fromkeys(("ground", "terrain", "bare", "earth", "soil", "sand", "dune", "gravel", "sidewalk"), 2),
    **dict.fromkeys(("vegetation", "tree", "forest", "bush", "shrub", "hedge", "grass", "lawn", "crop"), VEGETATION),
    **dict.fromkeys(("building", "roof", "house"), 6),
    **dict.fromkeys(("water", "pool", "river", "lake", "channel", "sea"), 9),
    "rail": 10,
    **dict.fromkeys(("road", "roadline", "street", "pavement", "asphalt"), 11),
    "bridge": 17,
}
"""By a word of a class's name, in lower case and the singular."""

Code = Union[int, str]


def las_codes(table: ClassTable, file: Path | None = None) -> list[Code]:
    """The code of each class; VEGETATION where the height decides.

    Args:
        table: the classes.
        file: JSON with the codes of some or all of them, as {"Roof": 6, "Reed": "vegetation", "Court": 70}.

    Raises:
        UserError: the file cannot be used.
    """
    given = {} if file is None else _read(file, table)
    return [given.get(name, _guess(name, index)) for index, name in enumerate(table.names)]


def _guess(name: str, index: int) -> Code:
    words = re.findall("[a-z]+", name.lower())
    known = [form for word in words for form in (word, word.removesuffix("s")) if form in CODES]
    return CODES[known[0]] if known else FIRST_FREE + index


def _read(file: Path, table: ClassTable) -> dict[str, Code]:
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the codes of classes in {file}: {error}") from error
    if not isinstance(given, dict):
        raise UserError(f'{file} holds no codes of classes; expected {{"Roof": 6, "Reed": "{VEGETATION}"}}.')
    for name, code in given.items():
        if name not in table.names:
            raise UserError(f"{file} names {name!r}, which is no class of the run. It has {', '.join(table.names)}.")
        is_code = isinstance(code, int) and not isinstance(code, bool) and 0 <= code <= 255
        if not is_code and code != VEGETATION:
            raise UserError(f'{file} gives {name!r} the code {code!r}; expected 0 to 255, or "{VEGETATION}".')
    return given
