"""The town's classes, materials and the table between them.

Names and colors are Carla's (older tag list); the order is that of the authors' 20-class palette, cut to the classes
that the town has.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.labels.palettes import CARLA_COLORS


class Label(IntEnum):
    """Class index of a pixel, as written to the label images."""

    BUILDING = 0
    WATER = 1
    SKY = 2
    SIDEWALK = 3
    VEGETATION = 4
    TERRAIN = 5
    STATIC = 6
    POLE = 7
    ROAD = 8
    ROADLINE = 9
    VEHICLES = 10
    WALL = 11


NAMES = (
    "Building",
    "Water",
    "Sky",
    "SideWalk",
    "Vegetation",
    "Terrain",
    "Static",
    "Pole",
    "Road",
    "RoadLine",
    "Vehicles",
    "Wall",
)
"""Carla's names, by class index."""


class Ground(IntEnum):
    """What the ground is made of at a point of the map."""

    GRASS = 0
    MEADOW = 1
    FIELD_X = 2
    FIELD_Y = 3
    SOIL = 4
    SAND = 5
    ASPHALT = 6
    ASPHALT_DARK = 7
    ASPHALT_LIGHT = 8
    LINE = 9
    PAVING = 10
    PAVING_RED = 11
    WATER = 12


GROUND_LABELS = np.array(
    [Label.TERRAIN] * 6 + [Label.ROAD] * 3 + [Label.ROADLINE] + [Label.SIDEWALK] * 2 + [Label.WATER], dtype=np.uint8
)
"""Class of each `Ground` kind, by index."""


class Material(IntEnum):
    """How a surface is painted; `GROUND` looks at the map, the others at their part's colors, `LEAF` at its
    face's shade too."""

    GROUND = 0
    FACADE = 1
    TILES = 2
    FLAT_ROOF = 3
    GREEN_ROOF = 4
    LEAVES = 5
    PAINT = 6
    MASONRY = 7
    CORRUGATED = 8
    LEAF = 9


CLASSES = ClassTable(tuple(NAMES), tuple(CARLA_COLORS[name] for name in NAMES))
"""The town's classes in index order."""
