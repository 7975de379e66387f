"""What fills the blocks between the streets: homes and gardens, offices, a park, a yard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nerfseg_ns.town import palette, props
from nerfseg_ns.town.buildings import flat_block, footprint, hall, house, shed, tower
from nerfseg_ns.town.classes import Ground
from nerfseg_ns.town.ground import GroundMap
from nerfseg_ns.town.meshes import MeshBuilder
from nerfseg_ns.town.props import pick

GREEN = (Ground.GRASS, Ground.MEADOW)


@dataclass
class Block:
    """A rectangle between streets, sidewalks excluded, in metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Its extent along x and y."""
        return self.x1 - self.x0, self.y1 - self.y0


@dataclass
class Site:
    """What a block is built with: the mesh so far, the ground, the generator."""

    builder: MeshBuilder
    ground: GroundMap
    rng: np.random.Generator


def scatter(site: Site, block: Block, count: int, radius: float, kinds: tuple[Ground, ...] = GREEN) -> list[tuple]:
    """Up to `count` places in a block that are free within `radius` metres; each is marked as taken."""
    places = []
    for x, y in site.rng.uniform((block.x0, block.y0), (block.x1, block.y1), (count * 4, 2)):
        if len(places) < count and site.ground.is_free(x, y, radius, kinds):
            site.ground.take(footprint(x, y, 1.4 * radius, 1.4 * radius, 0.0))
            places.append((x, y))
    return places


def plant(site: Site, block: Block, trees: int, bushes: int) -> None:
    """Trees and bushes on the free green of a block."""
    for x, y in scatter(site, block, trees, 2.0):
        props.tree(site.builder, site.rng, x, y, 0.0)
    for x, y in scatter(site, block, bushes, 1.2):
        props.bush(site.builder, site.rng, x, y, 0.0)


def homes(site: Site, block: Block) -> None:
    """Two rows of lots with a house each, driveways, sheds, garden walls and hedges."""
    width, depth = block.size
    columns = 3 if width > 42 else 2
    step = width / columns
    site.ground.paint_rectangle(block.x0, block.y0, block.x1, block.y1, Ground.GRASS)
    for row in (0, 1):
        for column in range(columns):
            x, y = block.x0 + column * step, block.y0 + row * depth / 2
            _lot(site, Block(x, y, x + step, y + depth / 2), front=-1 if row == 0 else 1)
    _garden_walls(site, block, columns)
    plant(site, block, 9, 6)


def _lot(site: Site, lot: Block, front: int) -> None:
    rng, ground, builder = site.rng, site.ground, site.builder
    width, depth = lot.size
    (x, y), street = lot.centre, lot.y0 if front < 0 else lot.y1
    if rng.random() < 0.3:
        patch = rng.uniform(-0.35, 0.1, 2) * lot.size + lot.centre
        kind = Ground.SOIL if rng.random() < 0.6 else Ground.MEADOW
        ground.paint_rectangle(patch[0], patch[1], patch[0] + rng.uniform(4, 8), patch[1] + rng.uniform(3, 6), kind)
    side = 1 if rng.random() < 0.5 else -1
    drive = x + side * (width / 2 - 2.4)
    kind = Ground.PAVING_RED if rng.random() < 0.5 else Ground.PAVING
    ground.paint_rectangle(*_ordered(drive - 1.5, street, drive + 1.5, y), kind)
    size = np.array([rng.uniform(0.5, 0.62) * width, rng.uniform(0.42, 0.55) * depth]).clip(6.5, 14)
    where = (x - side * (width / 2 - size[0] / 2 - 1.2), y - front * rng.uniform(-0.16, 0.02) * depth)
    along = (size[0], size[1], 0.0) if size[0] > size[1] else (size[1], size[0], np.pi / 2)
    house(builder, ground, rng, *where, *along)
    if rng.random() < 0.6:
        props.car(builder, rng, drive, street - front * 3.2, np.pi / 2)
        ground.take(np.array([(drive - 1.5, street), (drive + 1.5, street), (drive + 1.5, y), (drive - 1.5, y)]))
    if rng.random() < 0.4:
        _pool(site, x - side * 0.2 * width, y - front * 0.36 * depth)
    if rng.random() < 0.55:
        shed(builder, ground, rng, drive - side * 0.6, y - front * 0.28 * depth, np.pi / 2)


def _pool(site: Site, x: float, y: float) -> None:
    """A swimming pool of about 5 x 3 m with a paved rim, where the garden has room for it."""
    if not site.ground.is_free(x, y, 2.4, (*GREEN, Ground.SOIL)):
        return
    length, width = site.rng.uniform(4.4, 6.0), site.rng.uniform(2.8, 3.4)
    site.ground.paint(footprint(x, y, length, width, 0.0, 0.6), Ground.PAVING)
    site.ground.paint(footprint(x, y, length, width, 0.0), Ground.WATER)
    site.ground.take(footprint(x, y, length, width, 0.0, 0.6))


def _ordered(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _garden_walls(site: Site, block: Block, columns: int) -> None:
    """Between lots, along the back and, with gaps for the driveways, here and there along the street."""
    rng, builder = site.rng, site.builder
    middle, step = block.centre[1], block.size[0] / columns
    for column in range(columns):
        x0, x1 = block.x0 + column * step, block.x0 + (column + 1) * step
        if rng.random() < 0.8:
            props.wall(builder, pick(rng, palette.WALLS), x0 + 0.3, middle, x1 - 0.3, middle)
    for column in range(1, columns):
        for y0, y1 in ((block.y0 + 1, middle), (middle, block.y1 - 1)):
            chance, x = rng.random(), block.x0 + column * step
            if chance < 0.6:
                props.wall(builder, pick(rng, palette.WALLS), x, y0, x, y1)
            elif chance < 0.8:
                props.hedge(builder, rng, x, y0, x, y1)
    for x in (block.x0 + 0.4, block.x1 - 0.4):
        if rng.random() < 0.8:
            props.wall(builder, pick(rng, palette.WALLS), x, block.y0 + 0.5, x, block.y1 - 0.5)


def offices(site: Site, block: Block) -> None:
    """Two to four flat-roofed blocks of different heights around a paved court with cars and dumpsters."""
    rng, ground, builder = site.rng, site.ground, site.builder
    width, depth = block.size
    ground.paint_rectangle(block.x0, block.y0, block.x1, block.y1, Ground.PAVING)
    court = Block(block.x0 + 0.32 * width, block.y0 + 0.32 * depth, block.x1 - 0.3 * width, block.y1 - 0.3 * depth)
    ground.paint_rectangle(
        court.x0, court.y0, court.x1, court.y1, Ground.GRASS if rng.random() < 0.5 else Ground.PAVING_RED
    )
    heights = rng.permutation([9.0, 13.0, 18.0, 23.0]) + rng.uniform(-1.5, 1.5, 4)
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    for (i, j), height in zip(corners, heights, strict=True):
        if rng.random() < 0.12:
            continue
        length, breadth = rng.uniform(0.34, 0.44) * width, rng.uniform(0.34, 0.44) * depth
        x = block.x0 + 1.5 + length / 2 if i == 0 else block.x1 - 1.5 - length / 2
        y = block.y0 + 1.5 + breadth / 2 if j == 0 else block.y1 - 1.5 - breadth / 2
        flat_block(builder, ground, rng, x, y, length, breadth, height)
    paved = (Ground.PAVING, Ground.PAVING_RED)
    for x, y in scatter(site, block, 8, 2.2, paved):
        props.dumpster(builder, rng, x, y, rng.integers(4) * np.pi / 2)
    for x, y in scatter(site, block, 4, 2.6, paved):
        props.car(builder, rng, x, y, rng.integers(4) * np.pi / 2)
    for x, y in scatter(site, block, 4, 1.8, paved):
        props.bench(builder, rng, x, y, rng.integers(4) * np.pi / 2)
    plant(site, block, 8, 4)


def park(site: Site, block: Block) -> None:
    """A pond, paths, trees and benches, and for some seeds a church."""
    rng, ground, builder = site.rng, site.ground, site.builder
    (x, y), (width, depth) = block.centre, block.size
    ground.paint_rectangle(block.x0, block.y0, block.x1, block.y1, Ground.GRASS)
    px, py = x + rng.uniform(-0.08, 0.08) * width, y + 0.17 * depth
    ground.paint_rectangle(px - 1.2, block.y0, px + 1.2, block.y1, Ground.PAVING_RED)
    ground.paint_rectangle(block.x0, y - 0.14 * depth, block.x1, y - 0.14 * depth + 2.4, Ground.PAVING)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    wobble = 1 + 0.12 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.08 * np.sin(3 * angle + rng.uniform(0, 6))
    shore = np.stack([np.cos(angle) * 0.34 * width, np.sin(angle) * 0.24 * depth], -1) * wobble[:, None]
    ground.paint(shore * 1.18 + (px, py), Ground.SAND)
    ground.paint(shore + (px, py), Ground.WATER)
    if rng.random() < 0.5:
        tower(builder, ground, rng, x + 3, block.y0 + 0.18 * depth - 0.5, 0.0)
    for bx, by in scatter(site, block, 6, 2.0):
        props.bench(builder, rng, bx, by, rng.uniform(0, np.pi))
    plant(site, block, 30, 14)


def yard(site: Site, block: Block) -> None:
    """A depot: halls, stacks of containers, trucks, a parking lot with marked stalls, and a wall around."""
    rng, ground, builder = site.rng, site.ground, site.builder
    width, depth = block.size
    ground.paint_rectangle(block.x0, block.y0, block.x1, block.y1, Ground.SOIL)
    split = block.y0 + 0.5 * depth
    ground.paint_rectangle(block.x0, block.y0, block.x1, split, Ground.ASPHALT)
    ground.paint_rectangle(block.x0 + 4, block.y0 + 6, block.x0 + 14, split - 2, Ground.ASPHALT_LIGHT)
    _parking(site, Block(block.x0 + 2, block.y0 + 1.0, block.x1 - 2, split))
    hall(builder, ground, rng, block.x0 + 0.3 * width, block.y1 - 0.22 * depth, 0.5 * width, 0.34 * depth, 0.0)
    for x, y in scatter(site, Block(block.x0, split + 1, block.x1, block.y1), 12, 3.2, (Ground.SOIL,)):
        props.container(builder, rng, x, y, rng.integers(4) * np.pi / 2)
    for x, y in scatter(site, Block(block.x0, split, block.x1, block.y1), 5, 2.0, (Ground.SOIL,)):
        props.dumpster(builder, rng, x, y, rng.uniform(0, np.pi))
    for x in (block.x0 + 0.4, block.x1 - 0.4):
        props.wall(builder, pick(rng, palette.WALLS), x, split, x, block.y1 - 0.4)
    props.wall(builder, pick(rng, palette.WALLS), block.x0 + 0.4, block.y1 - 0.4, block.x1 - 0.4, block.y1 - 0.4)


def _parking(site: Site, lot: Block) -> None:
    """Rows of stalls, 3 m wide, most of them with a car."""
    rng, ground = site.rng, site.ground
    for base, front in ((lot.y0, 1), (lot.y1, -1)):
        for x in np.arange(lot.x0, lot.x1 - 3.2, 3.4):
            ground.paint_rectangle(*_ordered(x - 0.35, base, x + 0.35, base + front * 5.2), Ground.LINE)
            if rng.random() < 0.68:
                props.car(site.builder, rng, x + 1.7, base + front * 2.7, front * np.pi / 2 + rng.normal(0, 0.03))
    ground.take(np.array([(lot.x0, lot.y0), (lot.x1, lot.y0), (lot.x1, lot.y1), (lot.x0, lot.y1)]))
    if rng.random() < 0.7:
        middle = (lot.y0 + lot.y1) / 2
        props.truck(site.builder, rng, rng.uniform(lot.x0 + 8, lot.x1 - 8), middle, 0.0)


def market(site: Site, block: Block) -> None:
    """A paved square with a basin, a church, flat-roofed shops, stalls, planters and trees."""
    rng, ground, builder = site.rng, site.ground, site.builder
    (x, y), (width, depth) = block.centre, block.size
    ground.paint_rectangle(block.x0, block.y0, block.x1, block.y1, Ground.PAVING)
    ground.paint_rectangle(x - 0.3 * width, y - 0.3 * depth, x + 0.3 * width, y + 0.3 * depth, Ground.PAVING_RED)
    for i in (0, 1):
        length, breadth = rng.uniform(0.32, 0.42) * width, rng.uniform(0.22, 0.3) * depth
        bx = block.x0 + length / 2 + 1.5 + i * (width - length - 3)
        flat_block(builder, ground, rng, bx, block.y1 - breadth / 2 - 1.5, length, breadth, rng.uniform(6, 15))
    ground.paint(footprint(x, y + 2, 7.5, 5.0, 0.0), Ground.WATER)
    ground.take(footprint(x, y + 2, 7.5, 5.0, 0.0, 0.8))
    tower(builder, ground, rng, x + 5, block.y0 + 8.5, 0.0)
    paved = (Ground.PAVING, Ground.PAVING_RED)
    for sx, sy in scatter(site, block, 12, 2.7, paved):
        props.stall(builder, rng, sx, sy, rng.integers(2) * np.pi / 2)
    for sx, sy in scatter(site, block, 6, 1.8, paved):
        props.bench(builder, rng, sx, sy, rng.integers(2) * np.pi / 2)
    for sx, sy in scatter(site, block, 6, 2.0, paved):
        props.tree(builder, rng, sx, sy, 0.0, 0.8)
