"""What is told of labels that were carried from a map into photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.maps.drawn.shapes import Shapes, count_overlaps, named
from nerfseg_ns.maps.drawn.sheet import Sheet
from nerfseg_ns.maps.grid import MapGrid

SHOWN = 10
"""Shapes that are named one by one."""


@dataclass
class Result:
    """What was labelled."""

    class_pixels: Int64[ndarray, " classes"]
    shape_pixels: Int64[ndarray, " shapes_and_nothing"]
    written: List[Path] = field(default_factory=list)

    @classmethod
    def of(cls, classes: int, shapes: int) -> Result:
        """Nothing yet."""
        return cls(np.zeros(classes, np.int64), np.zeros(shapes + 1, np.int64))

    def add(self, labels: ndarray, numbers: ndarray) -> bool:
        """Counts the pixels of a photo; whether any is labelled."""
        counts = np.bincount(labels.ravel(), minlength=256)[: len(self.class_pixels)]
        self.class_pixels += counts
        self.shape_pixels += np.bincount(numbers.ravel(), minlength=len(self.shape_pixels))
        return bool(counts.any())


def say_drawn(shapes: Shapes, field_name: str, least: float) -> None:
    """Says what was drawn, once it is read; overlaps from an area of `least` on."""
    left_out = "".join(f"; {count} {why}" for why, count in shapes.notes.items())
    say(f"{len(shapes)} shapes, classes by the field {field_name}{left_out}.")
    overlaps = count_overlaps(shapes, least)
    if overlaps:
        say(f"{overlaps} of them lie on others of another class: what comes later in the file lies on top.")


def say_result(result: Result, sheet: Sheet, grid: MapGrid, table: ClassTable, photos: int) -> None:
    """Says what is labelled, and which shapes are in no photo, and why.

    Args:
        result: of all photos.
        sheet: what was drawn.
        grid: of the scene.
        table: the classes.
        photos: how many photos were asked for; 0: all.
    """
    counts = ", ".join(f"{table.names[i]} {count:,}" for i, count in enumerate(result.class_pixels) if count)
    say(f"{len(result.written)} photos are labelled. Pixels: {counts or 'none'}.")
    unseen = result.shape_pixels[1:] == 0
    off, on_top = sheet.lies_off(grid), sheet.has()
    who = f"none of the {photos} photos sees" if photos else "no photo sees"
    for why, chosen in (
        ("off the scene", off),
        ("below later ones, or narrower than the margin at their border (--margin)", ~on_top & ~off),
        (f"{who} any of it", unseen & on_top & ~off),
    ):
        if chosen.any():
            say(f"{_some(sheet.shapes, table, np.flatnonzero(chosen))}: {why}.")


def _some(shapes: Shapes, table: ClassTable, chosen: ndarray) -> str:
    """Shapes, counted and by their numbers in the file."""
    few = ", ".join(named(shapes, table, index) for index in chosen[:SHOWN])
    what = "1 shape" if len(chosen) == 1 else f"{len(chosen)} shapes"
    return f"{what} ({few}{', ...' if len(chosen) > SHOWN else ''})"
