"""Groves of large trees whose crowns touch: what a real flight shows of trees is canopy, not single balls."""

from __future__ import annotations

import numpy as np

from nerfseg_ns.town import props
from nerfseg_ns.town.blocks import GREEN, Site
from nerfseg_ns.town.buildings import footprint
from nerfseg_ns.town.classes import Ground

REACH = 150.0
"""Metres from the middle of the town within which there are groves."""
LAND = (*GREEN, Ground.SOIL)
SPREAD = (4.0, 11.0)
"""Deviation of the trees' places about the middle of their grove, metres."""
ROOM = 2.2
"""Metres around a trunk without another one, and without a wall."""
SIZES = (0.8, 1.2)
"""Of the trees, in units of the town's own."""


def plant_groves(site: Site, count: int) -> None:
    """Plants groves on free grass, meadows and soil, after all else is built; few trees where there is little room.

    Args:
        site: with its heights.
        count: of groves.
    """
    rng = site.rng
    for _ in range(count):
        angle, distance, spread = rng.uniform(0, 2 * np.pi), REACH * np.sqrt(rng.random()), rng.uniform(*SPREAD)
        middle = distance * np.array([np.cos(angle), np.sin(angle)])
        for x, y in middle + spread * rng.standard_normal((round(4 * spread), 2)):
            _tree_if_free(site, x, y)


def _tree_if_free(site: Site, x: float, y: float) -> None:
    if site.ground.is_free(x, y, ROOM, LAND):
        site.ground.take(footprint(x, y, ROOM, ROOM, 0.0))
        z = float(site.ground.height_at(np.array(x), np.array(y)))
        props.tree(site.builder, site.rng, x, y, z, site.rng.uniform(*SIZES))
