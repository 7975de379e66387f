"""Outside the town: a river, fields, woods and farms."""

from __future__ import annotations

import numpy as np

from nerfseg_ns.town import props
from nerfseg_ns.town.blocks import GREEN, Site
from nerfseg_ns.town.buildings import footprint, house
from nerfseg_ns.town.classes import Ground
from nerfseg_ns.town.ground import DISC_RADIUS, GroundMap


def paint_country(ground: GroundMap, rng: np.random.Generator) -> None:
    """Fields and meadows all around, then a river past one side of the town."""
    kinds = [Ground.FIELD_X, Ground.FIELD_Y, Ground.MEADOW, Ground.SOIL, Ground.MEADOW]
    for _ in range(46):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(104, 195)
        size = rng.uniform(22, 55, 2)
        kind = kinds[int(rng.integers(len(kinds)))]
        ground.paint(
            footprint(distance * np.cos(angle), distance * np.sin(angle), *size, angle + rng.normal(0, 0.25)), kind
        )
    _paint_river(ground, rng)


def _paint_river(ground: GroundMap, rng: np.random.Generator) -> None:
    heading, distance = rng.uniform(0, 2 * np.pi), rng.uniform(122, 130)
    along = np.linspace(-DISC_RADIUS, DISC_RADIUS, 100)
    sway = 9 * np.sin(along / 33 + rng.uniform(0, 6)) + 4 * np.sin(along / 15 + rng.uniform(0, 6))
    direction, normal = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    line = along[:, None] * direction + (distance + sway)[:, None] * normal
    width = rng.uniform(8, 11)
    ground.paint_strip(line, width + 2.5, -width - 2.5, Ground.SAND)
    ground.paint_strip(line, width, -width, Ground.WATER)


def build_country(site: Site) -> None:
    """Farms, woods and single trees on the land around the town, at the ground's height."""
    _farms(site)
    _woods(site)


def _farms(site: Site) -> None:
    ground, rng = site.ground, site.rng
    land = GREEN + (Ground.SOIL,)
    built = 0
    for _ in range(150):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(94, 165)
        x, y, yaw = distance * np.cos(angle), distance * np.sin(angle), rng.uniform(0, np.pi)
        if built < 9 and ground.is_free(x, y, 10, land):
            z = float(ground.height_at(np.array(x), np.array(y)))
            length = rng.uniform(10, 17)
            house(site.builder, ground, rng, x, y, length, rng.uniform(7, min(10, length)), yaw, z)
            built += 1


def _woods(site: Site) -> None:
    rng = site.rng
    land = GREEN + (Ground.SOIL,)
    for _ in range(13):
        angle, distance, spread = rng.uniform(0, 2 * np.pi), rng.uniform(105, 185), rng.uniform(6, 12)
        centre = distance * np.array([np.cos(angle), np.sin(angle)])
        for x, y in centre + spread * rng.standard_normal((int(spread * 3.5), 2)):
            _tree_if_free(site, x, y, land)
    for angle, distance in zip(rng.uniform(0, 2 * np.pi, 30), rng.uniform(80, 190, 30), strict=True):
        _tree_if_free(site, distance * np.cos(angle), distance * np.sin(angle), land)


def _tree_if_free(site: Site, x: float, y: float, land: tuple[Ground, ...]) -> None:
    if max(abs(x), abs(y)) > 86 and site.ground.is_free(x, y, 2.0, land):
        z = float(site.ground.height_at(np.array(x), np.array(y)))
        if site.rng.random() < 0.2:
            props.bush(site.builder, site.rng, x, y, z)
        else:
            props.tree(site.builder, site.rng, x, y, z, site.rng.uniform(0.9, 1.3))
