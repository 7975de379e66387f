"""From a class's name in a label file to its index, and the class table of files that name their classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, MAX_CLASSES, ClassTable
from nerfseg_ns.labels.colors import distinct_colors

NOT_LABELLED = frozenset({"__ignore__", "_background_", "ignore", "unlabeled", "unlabelled", "void"})
"""Names, in lower case, that say "not labelled" unless the class table has a class of exactly that name."""

_NAMES_SHOWN = 8
"""How many names of the class table a message lists if none is close to the wrong one."""


def is_not_labelled(name: str, more: Collection[str] = ()) -> bool:
    """Whether a name says "not labelled" where no class has it; `more` names do so too."""
    return name.lower() in NOT_LABELLED or name.lower() in more


def class_index(name: str, where: str, table: ClassTable, more: Collection[str] = ()) -> int:
    """The index of a class by its name in a label file.

    Args:
        name: in the file; it must be the class's name exactly.
        where: the place in the file that says so, for the message.
        table: the scene's classes.
        more: names beside `NOT_LABELLED`, in lower case, that say "not labelled".

    Returns:
        The index; IGNORE_INDEX if the name says "not labelled", or is that of the class that stands for it.

    Raises:
        UserError: there is no such class; the message shows those with similar names.
    """
    if name in table.names:
        index = table.names.index(name)
        return IGNORE_INDEX if index == table.file_ignore_index else index
    if is_not_labelled(name, more):
        return IGNORE_INDEX
    raise UserError(
        f"{where} has the class {name!r}, which is not in the class table; {_near(name, table)}. Correct the name, or "
        "add the class to classes.json."
    )


def named_table(names: Sequence[str], path: Path) -> ClassTable:
    """A class table of names alone, with colors made up for them.

    Args:
        names: all different, in the order of their indices.
        path: one of the label files, for messages.

    Raises:
        UserError: there are no names, or too many.
    """
    if not names:
        raise UserError(
            f'The label files, such as {path}, name no class: everything in them says "not labelled". Draw at least '
            "one class."
        )
    try:
        return ClassTable(tuple(names), distinct_colors(min(len(names), MAX_CLASSES)))
    except UserError as error:
        raise UserError(f"{error} The names are those of the label files, such as {path}.") from error


def _near(name: str, table: ClassTable) -> str:
    by_lower = {known.lower(): known for known in table.names}
    near = [repr(by_lower[match]) for match in get_close_matches(name.lower(), by_lower)]
    if near:
        return f"the closest is {' or '.join(near)}"
    more = ", ..." if len(table) > _NAMES_SHOWN else ""
    return f"it has {', '.join(map(repr, table.names[:_NAMES_SHOWN]))}{more}"
