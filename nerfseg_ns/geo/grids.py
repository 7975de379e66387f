"""What PROJ cannot do exactly for want of grids: it then takes a rougher way, without a word."""

from __future__ import annotations

import warnings
from typing import Union

import pyproj
from pyproj.transformer import TransformerGroup

CRS = Union[str, pyproj.CRS]


def missing_grids(source: CRS, target: CRS) -> list[str]:
    """Names of the grids that the best way from one coordinate system to another needs and PROJ does not have."""
    with warnings.catch_warnings():  # it warns of missing grids, in words of its own
        warnings.simplefilter("ignore")
        ways = TransformerGroup(source, target, always_xy=True)
    if ways.best_available or not ways.unavailable_operations:
        return []
    return [grid.short_name for grid in ways.unavailable_operations[0].grids]


def rough_way_remark(source: CRS, target: CRS, outcome: str = "places may be off by some metres") -> str:
    """What is rough about the way from one system to another, in a sentence; empty if nothing.

    Args:
        source: of the coordinates.
        target: of what they are turned into.
        outcome: what follows, in words.
    """
    missing = missing_grids(source, target)
    if not missing:
        return ""
    names = [pyproj.CRS.from_user_input(crs).name for crs in (source, target)]
    return f"PROJ lacks {', '.join(missing)}, which takes {names[0]} to {names[1]}: {outcome}."
