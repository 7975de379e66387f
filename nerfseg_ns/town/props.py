"""What stands on the ground besides buildings: trees, vehicles, street furniture, walls and lamp posts."""

from __future__ import annotations

import numpy as np

from nerfseg_ns.town import palette
from nerfseg_ns.town.classes import Label, Material
from nerfseg_ns.town.meshes import MeshBuilder, blob, box, box_sides, cylinder, flat_top


def pick(rng: np.random.Generator, options: list) -> tuple:
    """One of the options, by the generator."""
    return options[int(rng.integers(len(options)))]


def tree(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, z: float, size: float = 1.0) -> None:
    """A deciduous tree (trunk and two blobs) or a conifer (trunk and two cones), 5 to 10 m tall times `size`."""
    height = size * builder.growth * rng.uniform(5.5, 9.5)
    trunk = cylinder(0.3 * size + 0.1, 0.5 * height, 6, base=-1.0)
    builder.add(trunk, Label.VEGETATION, Material.PAINT, palette.BARK, palette.BARK, (x, y, z))
    if rng.random() < 0.25:
        color, accent = pick(rng, palette.CONIFERS), (84, 104, 62)
        radius = 0.26 * height
        for base, top, width in ((0.15, 0.65, 1.0), (0.45, 1.05, 0.72)):
            cone = cylinder(radius * width, top * height, 9, base=base * height, tip=0.08)
            builder.add(cone, Label.VEGETATION, Material.LEAVES, color, accent, (x, y, z))
        return
    color, accent = pick(rng, palette.LEAVES), pick(rng, palette.LEAVES)
    radius = 0.32 * height
    builder.add(
        blob(rng, radius, 0.7 * height, 0.62 * height), Label.VEGETATION, Material.LEAVES, color, accent, (x, y, z)
    )
    dx, dy = rng.uniform(-0.5, 0.5, 2) * radius
    crown = blob(rng, 0.75 * radius, 0.5 * height, 0.75 * height)
    builder.add(crown, Label.VEGETATION, Material.LEAVES, color, accent, (x + dx, y + dy, z))


def bush(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, z: float) -> None:
    """A bush of 2 to 4 m across."""
    shape = blob(rng, rng.uniform(1.0, 1.9), rng.uniform(1.8, 2.8), 0.5)
    builder.add(
        shape, Label.VEGETATION, Material.LEAVES, pick(rng, palette.LEAVES), pick(rng, palette.LEAVES), (x, y, z)
    )


def hedge(builder: MeshBuilder, rng: np.random.Generator, x0: float, y0: float, x1: float, y1: float) -> None:
    """A clipped hedge between two points on level ground."""
    shape = box(np.hypot(x1 - x0, y1 - y0), 1.3, 1.5, -0.5)
    at, yaw = ((x0 + x1) / 2, (y0 + y1) / 2, 0.0), np.arctan2(y1 - y0, x1 - x0)
    builder.add(shape, Label.VEGETATION, Material.LEAVES, pick(rng, palette.LEAVES), pick(rng, palette.LEAVES), at, yaw)


def car(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float, z: float = 0.0) -> None:
    """A car of about 4.6 m: body, windows, roof."""
    length, width = rng.uniform(4.2, 5.0), rng.uniform(1.9, 2.1)
    paint, at = pick(rng, palette.CARS), (x, y, z)
    builder.add(box(length, width, 0.95, 0.1), Label.VEHICLES, Material.PAINT, paint, (40, 40, 44), at, yaw)
    cabin = 0.52 * length
    builder.add(
        box_sides(cabin, 0.88 * width, 1.6, 0.9), Label.VEHICLES, Material.PAINT, (44, 52, 60), (70, 80, 90), at, yaw
    )
    builder.add(flat_top(cabin, 0.88 * width, 1.6), Label.VEHICLES, Material.PAINT, paint, (40, 40, 44), at, yaw)


def truck(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A truck or a bus of 8 to 9 m."""
    length, direction = rng.uniform(7.8, 9.2), np.array([np.cos(yaw), np.sin(yaw)])
    load, front = pick(rng, palette.CARS + palette.CONTAINERS), pick(rng, palette.CARS)
    body = np.array([x, y]) - direction * 0.13 * length
    at = (body[0], body[1], 0.0)
    builder.add(box(0.74 * length, 2.5, 3.2, 0.3), Label.VEHICLES, Material.CORRUGATED, load, (60, 60, 62), at, yaw)
    cab = np.array([x, y]) + direction * 0.39 * length
    at = (cab[0], cab[1], 0.0)
    builder.add(box(0.2 * length, 2.4, 2.5, 0.3), Label.VEHICLES, Material.PAINT, front, (50, 56, 62), at, yaw)


def container(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A shipping container of 6 m."""
    shape = box(6.1, 2.5, 2.6, -0.1)
    builder.add(shape, Label.STATIC, Material.CORRUGATED, pick(rng, palette.CONTAINERS), (60, 58, 56), (x, y, 0.0), yaw)


def dumpster(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A dumpster of 3 m with a darker lid."""
    color = pick(rng, palette.CONTAINERS)
    builder.add(
        box_sides(3.0, 1.7, 1.5, -0.1), Label.STATIC, Material.CORRUGATED, color, (50, 50, 50), (x, y, 0.0), yaw
    )
    lid = tuple(0.7 * channel for channel in color)
    builder.add(flat_top(3.0, 1.7, 1.5), Label.STATIC, Material.PAINT, lid, (60, 60, 60), (x, y, 0.0), yaw)


def bench(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A bench or a planter of 3.4 m."""
    shape = box(3.4, 1.4, rng.uniform(0.8, 1.2), -0.1)
    builder.add(
        shape, Label.STATIC, Material.PAINT, pick(rng, palette.STREET_FURNITURE), (70, 60, 50), (x, y, 0.0), yaw
    )


def stall(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A kiosk or market stall of 4 m."""
    color = pick(rng, palette.STREET_FURNITURE + palette.CONTAINERS)
    shape = box(4.0, 3.0, rng.uniform(2.4, 3.0), -0.1)
    builder.add(shape, Label.STATIC, Material.CORRUGATED, color, (200, 196, 188), (x, y, 0.0), yaw)


def shelter(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A bus shelter or newspaper stand of 4 m."""
    color = pick(rng, palette.STREET_FURNITURE + palette.CONTAINERS)
    shape = box(4.2, 1.8, rng.uniform(2.2, 2.6), -0.1)
    builder.add(shape, Label.STATIC, Material.PAINT, color, (90, 90, 90), (x, y, 0.0), yaw)


def lamp(builder: MeshBuilder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
    """A lamp post, thick enough to be seen in small images: 8 m, with an arm of 2.4 m towards `yaw`."""
    color, height = pick(rng, palette.POLES), rng.uniform(7.5, 9.0)
    builder.add(cylinder(0.36, height, 6, -0.5), Label.POLE, Material.PAINT, color, (80, 80, 80), (x, y, 0.0))
    at = (x + 1.0 * np.cos(yaw), y + 1.0 * np.sin(yaw), 0.0)
    builder.add(box(2.6, 0.8, height + 0.3, height - 0.35), Label.POLE, Material.PAINT, color, (80, 80, 80), at, yaw)


def wall(builder: MeshBuilder, color: tuple, x0: float, y0: float, x1: float, y1: float) -> None:
    """A free-standing wall of masonry between two points on level ground, 2.3 m high, 0.7 m thick."""
    shape = box(np.hypot(x1 - x0, y1 - y0) + 0.5, 0.7, 2.3, -0.5)
    at, yaw = ((x0 + x1) / 2, (y0 + y1) / 2, 0.0), np.arctan2(y1 - y0, x1 - x0)
    builder.add(shape, Label.WALL, Material.MASONRY, color, (110, 104, 98), at, yaw)
