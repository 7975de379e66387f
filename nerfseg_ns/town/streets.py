"""The street grid: where streets run, and the painting of sidewalks, asphalt and markings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nerfseg_ns.town.classes import Ground
from nerfseg_ns.town.ground import DISC_RADIUS, GroundMap

SIDEWALK_WIDTH = 3.2
"""Metres on either side of a street inside the town."""


@dataclass(frozen=True)
class Street:
    """A street parallel to an axis: `axis` 0 runs along x at y = `position`, 1 along y at x = `position`."""

    axis: int
    position: float
    width: float
    line: np.ndarray
    """Centre line [points, 2]; streets that leave the town bend outside it."""
    start: float
    end: float
    """Where the built-up part (with sidewalks) begins and ends along the axis."""

    @property
    def is_main(self) -> bool:
        """Main streets are wider, carry edge lines and leave the town."""
        return self.width > 10

    def rectangle(self, start: float, end: float, low: float, high: float) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of a piece between two places along the street and two offsets across it."""
        if self.axis == 0:
            return start, self.position + low, end, self.position + high
        return self.position + low, start, self.position + high, end


def plan_streets(rng: np.random.Generator) -> list[Street]:
    """Four streets in either direction; one of the inner two is a main street that goes on into the country."""
    positions = [np.array([-71.0, -24.0, 24.0, 71.0]) + rng.uniform(-4.5, 4.5, 4) for _ in range(2)]
    main = rng.integers(1, 3, size=2)
    streets = []
    for axis in (0, 1):
        across = positions[1 - axis]
        for index, position in enumerate(positions[axis]):
            is_main = index == main[axis]
            start, end = across[0] - 4.5, across[-1] + 4.5
            along = (
                np.linspace(-DISC_RADIUS, DISC_RADIUS, 120) if is_main else np.array([start, (start + end) / 2, end])
            )
            outside = np.clip(np.abs(along) - 85, 0, None)
            bend = rng.uniform(-1, 1, 2) * 12
            sway = np.where(along < 0, bend[0], bend[1]) * (1 - np.cos(outside / 28))
            line = np.stack([along, position + sway] if axis == 0 else [position + sway, along], axis=-1)
            streets.append(Street(axis, float(position), 12.0 if is_main else 8.6, line, float(start), float(end)))
    return streets


def paint_streets(ground: GroundMap, streets: list[Street], rng: np.random.Generator) -> None:
    """Paints all streets in layers: sidewalks, asphalt with patches, markings, then crossings over the markings."""
    for street in streets:
        half = street.width / 2 + SIDEWALK_WIDTH
        ground.paint_rectangle(*street.rectangle(street.start - 3.2, street.end + 3.2, -half, half), Ground.PAVING)
    for street in streets:
        ground.paint_strip(street.line, street.width / 2, -street.width / 2, Ground.ASPHALT)
    for street in streets:
        _paint_patches(ground, street, rng)
    for street in streets:
        _paint_lines(ground, street)
    _paint_crossings(ground, streets)


def _paint_patches(ground: GroundMap, street: Street, rng: np.random.Generator) -> None:
    for _ in range(14):
        start = rng.uniform(street.start, street.end - 10)
        low = rng.uniform(-street.width / 2, street.width / 2 - 2)
        piece = street.rectangle(
            start, start + rng.uniform(2, 12), low, min(low + rng.uniform(1.5, 4), street.width / 2)
        )
        ground.paint_rectangle(*piece, Ground.ASPHALT_DARK if rng.random() < 0.6 else Ground.ASPHALT_LIGHT)


def _paint_lines(ground: GroundMap, street: Street) -> None:
    """Centre dashes everywhere, edge lines along main streets; wide enough to be seen at 128 pixels."""
    for piece in dashes(street.line, 7.0, 6.0):
        ground.paint_strip(piece, 0.6, -0.6, Ground.LINE)
    if street.is_main:
        edge = street.width / 2 - 0.9
        for offset in (-edge, edge):
            ground.paint_strip(street.line, offset + 0.5, offset - 0.5, Ground.LINE)


def dashes(line: np.ndarray, length: float, gap: float) -> list[np.ndarray]:
    """Pieces [3, 2] of a polyline, `length` metres long with `gap` metres between them."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    distance = np.concatenate([[0], np.cumsum(steps)])
    starts = np.arange(1.0, distance[-1] - length, length + gap)
    places = starts[:, None] + np.linspace(0, length, 3)
    return [np.stack([np.interp(place, distance, line[:, i]) for i in (0, 1)], axis=-1) for place in places]


def _paint_crossings(ground: GroundMap, streets: list[Street]) -> None:
    """Clears the markings where streets meet and paints stop lines and zebra stripes before the main crossings."""
    for a in (street for street in streets if street.axis == 0):
        for b in (street for street in streets if street.axis == 1):
            box = (
                b.position - b.width / 2,
                a.position - a.width / 2,
                b.position + b.width / 2,
                a.position + a.width / 2,
            )
            ground.paint_rectangle(*box, Ground.ASPHALT)
            for street, other in ((a, b), (b, a)):
                for side in (-1, 1):
                    near = other.position + side * other.width / 2
                    if not street.start + 8 < near + 4 * side < street.end - 8:
                        continue
                    span = sorted((near, near + side * 5.0))
                    half = street.width / 2
                    ground.paint_rectangle(*street.rectangle(*span, -half, half), Ground.ASPHALT)
                    if street.is_main or other.is_main:
                        _paint_zebra(ground, street, sorted((near + side * 0.8, near + side * 4.0)))


def _paint_zebra(ground: GroundMap, street: Street, span: list[float]) -> None:
    for low in np.arange(-street.width / 2 + 0.6, street.width / 2 - 1.4, 2.9):
        ground.paint_rectangle(*street.rectangle(*span, low, low + 1.5), Ground.LINE)
