"""The town as a whole: paints the ground, fills the blocks, furnishes the streets, builds the country."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from nerfseg_ns.town import blocks, props
from nerfseg_ns.town.blocks import Block, Site
from nerfseg_ns.town.classes import Label, Material
from nerfseg_ns.town.country import build_country, paint_country
from nerfseg_ns.town.ground import GroundMap
from nerfseg_ns.town.groves import plant_groves
from nerfseg_ns.town.leaves import LeafyBuilder
from nerfseg_ns.town.meshes import MeshBuilder, TownMesh
from nerfseg_ns.town.streets import SIDEWALK_WIDTH, Street, paint_streets, plan_streets

FILLS = [blocks.park, blocks.yard, blocks.market, blocks.offices, blocks.offices] + [blocks.homes] * 4
"""What the nine blocks hold; which one lies where is the seed's."""


GROWTH = 1.4
"""Of trees in a town with groves: as tall as old ones."""
GROVES_STREAM = 8
"""Of the seed's random numbers: groves change nothing else."""


@dataclass(frozen=True)
class Town:
    """A built town in metres: its triangles and its ground map."""

    mesh: TownMesh
    ground: GroundMap


def build_town(seed: int, leaf_size: float = 0.0, groves: int = 0) -> Town:
    """Builds the town of a seed; independent of cameras and image size.

    Args:
        seed: which town.
        leaf_size: width of the leaves that crowns are made of, metres; 0 for smooth crowns, at the same places.
        groves: of large trees, beside all that the town has without them; its own trees are larger then, too.
    """
    rng = np.random.default_rng([seed, 1])
    builder = LeafyBuilder(seed, leaf_size) if leaf_size > 0 else MeshBuilder()
    builder.growth = GROWTH if groves else 1.0
    site = Site(builder, GroundMap(), rng)
    streets = plan_streets(rng)
    paint_country(site.ground, rng)
    paint_streets(site.ground, streets, rng)
    for block, index in zip(_blocks(streets), rng.permutation(len(FILLS)), strict=True):
        FILLS[index](site, block)
    _furnish_streets(site, streets)
    site.ground.raise_hills(rng)
    build_country(site)
    plant_groves(replace(site, rng=np.random.default_rng([seed, GROVES_STREAM])), groves)
    site.builder.add(site.ground.mesh(), Label.TERRAIN, Material.GROUND)
    return Town(site.builder.build(), site.ground)


def _blocks(streets: list[Street]) -> list[Block]:
    """The rectangles between neighbouring streets, row by row."""
    rows = [street for street in streets if street.axis == 0]
    columns = [street for street in streets if street.axis == 1]
    found = []
    for below, above in pairwise(rows):
        for left, right in pairwise(columns):
            found.append(
                Block(
                    left.position + left.width / 2 + SIDEWALK_WIDTH,
                    below.position + below.width / 2 + SIDEWALK_WIDTH,
                    right.position - right.width / 2 - SIDEWALK_WIDTH,
                    above.position - above.width / 2 - SIDEWALK_WIDTH,
                )
            )
    return found


def _furnish_streets(site: Site, streets: list[Street]) -> None:
    """Traffic, parked cars, lamp posts, street trees, bins along every street."""
    for street in streets:
        crossings = [other.position for other in streets if other.axis != street.axis]
        for along in np.arange(street.start + 6, street.end - 6, 6.5):
            if min(abs(along - crossing) for crossing in crossings) > 13:
                _traffic(site, street, along)
        for index, along in enumerate(np.arange(street.start + 5, street.end - 3, 8.0)):
            if min(abs(along - crossing) for crossing in crossings) > 7.5:
                _kerb(site, street, along, index)


def _place(street: Street, along: float, across: float) -> tuple[float, float]:
    """x and y of a point at a distance along the street's axis and across it."""
    return (along, street.position + across) if street.axis == 0 else (street.position + across, along)


def _traffic(site: Site, street: Street, along: float) -> None:
    rng, heading = site.rng, street.axis * np.pi / 2
    for side in (-1, 1):
        if rng.random() > 0.2:
            continue
        lane = 0.25 * street.width if street.is_main else 0.27 * street.width
        x, y = _place(street, along, side * lane)
        turn = heading + (np.pi if side > 0 else 0.0) + rng.normal(0, 0.02)
        if street.is_main and rng.random() < 0.25:
            props.truck(site.builder, rng, x, y, turn)
        else:
            props.car(site.builder, rng, x, y, turn)


def _kerb(site: Site, street: Street, along: float, index: int) -> None:
    """Lamps every 32 m on alternate sides, between them street trees, bins and planters: thin things, kept few."""
    rng, heading = site.rng, street.axis * np.pi / 2
    for side in (-1, 1):
        x, y = _place(street, along, side * (street.width / 2 + 0.9))
        if index % 4 == 1 + side:
            towards = np.arctan2(*(np.array(_place(street, along, 0.0)) - (x, y))[::-1])
            props.lamp(site.builder, rng, x, y, float(towards))
        elif rng.random() < 0.3:
            x, y = _place(street, along, side * (street.width / 2 + 2.1))
            props.tree(site.builder, rng, x, y, 0.0, rng.uniform(0.6, 0.8))
        elif rng.random() < 0.25:
            x, y = _place(street, along, side * (street.width / 2 + 1.7))
            furniture = (props.bench, props.dumpster, props.shelter)[int(rng.integers(3))]
            furniture(site.builder, rng, x, y, heading)
