"""Buildings: houses with pitched roofs, flat-roofed blocks, halls, sheds and a tower."""

from __future__ import annotations

import numpy as np

from nerfseg_ns.town import palette
from nerfseg_ns.town.classes import Label, Material
from nerfseg_ns.town.ground import GroundMap
from nerfseg_ns.town.meshes import (
    MeshBuilder,
    box,
    box_sides,
    cylinder,
    flat_top,
    gable_ends,
    gable_slopes,
    pitched_roof,
)
from nerfseg_ns.town.props import pick

BUILDING = Label.BUILDING
FOUNDATION = -3.0
"""How far walls go below their ground level, metres: no gap on a slope."""


def footprint(x: float, y: float, length: float, width: float, yaw: float, margin: float = 0.0) -> np.ndarray:
    """Corners [4, 2] of a turned rectangle, grown by a margin."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (length / 2 + margin, width / 2 + margin)
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return corners @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)


def house(
    builder: MeshBuilder,
    ground: GroundMap,
    rng: np.random.Generator,
    x: float,
    y: float,
    length: float,
    width: float,
    yaw: float,
    z: float = 0.0,
) -> None:
    """A house of one to three floors with a gable or hip roof and often a chimney."""
    ground.take(footprint(x, y, length, width, yaw, 0.8))
    eaves, rise = 3.0 * rng.integers(1, 4) + rng.uniform(0.4, 1.0), width * rng.uniform(0.26, 0.45)
    facade, roof, at = pick(rng, palette.FACADES), pick(rng, palette.PITCHED_ROOFS), (x, y, z)
    trim = tuple(0.75 * channel for channel in roof)
    builder.add(box_sides(length, width, eaves, FOUNDATION), BUILDING, Material.FACADE, facade, (60, 66, 74), at, yaw)
    over = 0.5
    low = eaves - over * 2 * rise / width
    if rng.random() < 0.4:
        hip = pitched_roof(length + 2 * over, width + 2 * over, low, rise + eaves - low, hip=0.42 * width)
        builder.add(hip, BUILDING, Material.TILES, roof, trim, at, yaw)
    else:
        slopes = gable_slopes(length + 2 * over, width + 2 * over, low, rise + eaves - low)
        builder.add(slopes, BUILDING, Material.TILES, roof, trim, at, yaw)
        builder.add(gable_ends(length, width, eaves, rise), BUILDING, Material.FACADE, facade, (60, 66, 74), at, yaw)
    if rng.random() < 0.7:
        along = rng.uniform(-0.3, 0.3) * length
        at = (x + along * np.cos(yaw), y + along * np.sin(yaw), z)
        builder.add(
            box(1.1, 1.1, eaves + rise + 1.0, eaves), BUILDING, Material.MASONRY, (140, 96, 80), (90, 70, 62), at, yaw
        )


def flat_block(
    builder: MeshBuilder,
    ground: GroundMap,
    rng: np.random.Generator,
    x: float,
    y: float,
    length: float,
    width: float,
    height: float,
    yaw: float = 0.0,
) -> None:
    """A block with a flat roof (bare, gravel or planted), a parapet, and machines on the roof."""
    ground.take(footprint(x, y, length, width, yaw, 1.0))
    facade, at = pick(rng, palette.FACADES), (x, y, 0.0)
    builder.add(box_sides(length, width, height, FOUNDATION), BUILDING, Material.FACADE, facade, (64, 76, 88), at, yaw)
    green = rng.random() < 0.3
    roof = pick(rng, palette.GREEN_ROOFS if green else palette.FLAT_ROOFS)
    material = Material.GREEN_ROOF if green else Material.FLAT_ROOF
    accent = (132, 124, 84) if green else tuple(0.72 * channel for channel in roof)
    builder.add(flat_top(length, width, height - 0.6), BUILDING, material, roof, accent, at, yaw)
    _parapet(builder, x, y, length, width, height, yaw, facade)
    for _ in range(rng.integers(1, 4)):
        dx, dy = rng.uniform(-0.32, 0.32, 2) * (length, width)
        spot = (x + dx * np.cos(yaw) - dy * np.sin(yaw), y + dx * np.sin(yaw) + dy * np.cos(yaw), height - 0.6)
        size = rng.uniform(1.5, 3.6, 2)
        color = pick(rng, palette.FLAT_ROOFS)
        machine = box(size[0], size[1], rng.uniform(1.2, 2.6), -0.1)
        builder.add(machine, BUILDING, Material.CORRUGATED, color, (84, 84, 86), spot, yaw)


def _parapet(
    builder: MeshBuilder, x: float, y: float, length: float, width: float, height: float, yaw: float, color
) -> None:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    for dx, dy, along, across in (
        (0, width / 2 - 0.2, length, 0.4),
        (0, 0.2 - width / 2, length, 0.4),
        (length / 2 - 0.2, 0, 0.4, width - 0.8),
        (0.2 - length / 2, 0, 0.4, width - 0.8),
    ):
        at = (x + dx * cosine - dy * sine, y + dx * sine + dy * cosine, 0.0)
        rim = box(along - 0.02, across - 0.02, height + 0.01, height - 0.7)
        builder.add(rim, BUILDING, Material.PAINT, color, color, at, yaw)


def hall(
    builder: MeshBuilder,
    ground: GroundMap,
    rng: np.random.Generator,
    x: float,
    y: float,
    length: float,
    width: float,
    yaw: float,
) -> None:
    """A low hall with a flat pitched roof of corrugated sheet."""
    ground.take(footprint(x, y, length, width, yaw, 1.0))
    height, rise = rng.uniform(4.5, 7.0), rng.uniform(1.0, 2.0)
    facade, roof, at = pick(rng, palette.FACADES), pick(rng, palette.GREY_ROOFS + palette.BLUE_ROOFS), (x, y, 0.0)
    builder.add(
        box_sides(length, width, height, FOUNDATION), BUILDING, Material.CORRUGATED, facade, (90, 92, 96), at, yaw
    )
    slopes = gable_slopes(length + 0.6, width + 0.6, height, rise)
    builder.add(slopes, BUILDING, Material.CORRUGATED, roof, tuple(0.7 * c for c in roof), at, yaw)
    builder.add(gable_ends(length, width, height, rise), BUILDING, Material.CORRUGATED, facade, (90, 92, 96), at, yaw)


def shed(builder: MeshBuilder, ground: GroundMap, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A garage or garden shed of 4 to 6 m with a flat roof the color of grass, soil or road."""
    length, width, height = rng.uniform(4.0, 6.0), rng.uniform(3.2, 4.2), rng.uniform(2.5, 3.3)
    ground.take(footprint(x, y, length, width, yaw, 0.5))
    roof = pick(rng, palette.FLAT_ROOFS + palette.GREEN_ROOFS + palette.BROWN_ROOFS)
    facade, at = pick(rng, palette.FACADES), (x, y, 0.0)
    builder.add(box_sides(length, width, height, -0.5), BUILDING, Material.MASONRY, facade, (110, 104, 96), at, yaw)
    top = flat_top(length + 0.4, width + 0.4, height)
    builder.add(top, BUILDING, Material.FLAT_ROOF, roof, tuple(0.75 * channel for channel in roof), at, yaw)


def tower(builder: MeshBuilder, ground: GroundMap, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A church: a nave with a steep roof and a tower of about 24 m with a spire."""
    house(builder, ground, rng, x, y, 20.0, 10.0, yaw)
    at = (x - 11.5 * np.cos(yaw), y - 11.5 * np.sin(yaw), 0.0)
    ground.take(footprint(at[0], at[1], 6.0, 6.0, yaw, 1.0))
    color, height = pick(rng, palette.FACADES), rng.uniform(15, 18)
    builder.add(box_sides(6.0, 6.0, height, FOUNDATION), BUILDING, Material.FACADE, color, (60, 60, 64), at, yaw)
    spire = cylinder(4.6, height + 7.0, 4, height, tip=0.02)
    builder.add(
        spire,
        BUILDING,
        Material.TILES,
        pick(rng, palette.GREY_ROOFS + palette.RED_ROOFS),
        (80, 84, 84),
        at,
        yaw + np.pi / 4,
    )
