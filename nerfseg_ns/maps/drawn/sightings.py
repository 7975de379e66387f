"""Which photos see which of the drawn places, and which few photos see most of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

from nerfseg_ns.console.progress import progress_bar
from nerfseg_ns.core.projection import Projector
from nerfseg_ns.maps.drawn.sheet import Sheet
from nerfseg_ns.maps.surface import Surface

PLACES = 40_000
"""That stand for all that was drawn."""
ROOM = 12
"""Pixels, beside the gaps between places, around those that a photo sees: a roof's border may be seen where its places
are not."""


@dataclass(frozen=True)
class Sighting:
    """What a photo sees of what was drawn."""

    view: int
    sees: Bool[ndarray, " places"]
    window: tuple[int, int, int, int]
    """First row, end row, first column, end column of the pixels that may show some of it."""


def find_sightings(projector: Projector, surface: Surface, sheet: Sheet) -> tuple[List[Sighting], ndarray]:
    """What each photo sees.

    Args:
        projector: of the photos.
        surface: of the scene.
        sheet: what was drawn.

    Returns:
        The photos that see any of it; and the numbers of the shapes that the places belong to.
    """
    places, numbers = sheet.sample(PLACES)
    points = np.column_stack([places, surface.at(places).numpy()])
    frame = surface.grid.frame
    in_scene = torch.from_numpy(frame.to_scene(points))
    cameras = frame.from_scene(projector.origins.numpy())
    found, room = [], ROOM + 2 * sheet.gap(len(places))
    with progress_bar("Finding what each photo sees", len(projector)) as tell:
        for view in range(len(projector)):
            projected = projector.project(view, in_scene)
            sees = projected.inside.numpy().copy()
            sees[sees] = surface.sees(cameras[view], points[sees]).numpy()
            if sees.any():
                found.append(Sighting(view, sees, _window(projector, view, projected.pixels.numpy()[sees], room)))
            tell(view + 1)
    return found, numbers


def _window(
    projector: Projector, view: int, pixels: Float[ndarray, "points 2"], room: float
) -> tuple[int, int, int, int]:
    width, height = int(projector.cameras.width[view]), int(projector.cameras.height[view])
    (left, top), (right, bottom) = np.floor(pixels.min(axis=0) - room), np.ceil(pixels.max(axis=0) + room)
    return max(0, int(top)), min(height, int(bottom)), max(0, int(left)), min(width, int(right))


def choose_photos(sightings: List[Sighting], numbers: Int64[ndarray, " places"], count: int) -> List[Sighting]:
    """So many photos that together see most: each time the one that adds most.

    What is large counts for more than what is small, but by the root of its places only: a car is not lost beside a
    field.
    """
    weights = 1 / np.sqrt(np.bincount(numbers))[numbers]
    chosen: List[Sighting] = []
    left = list(sightings)
    while left and len(chosen) < count:
        gains = [float(weights[sighting.sees].sum()) for sighting in left]
        best = left.pop(int(np.argmax(gains)))
        if max(gains) == 0:
            break
        chosen.append(best)
        weights[best.sees] = 0
    return sorted(chosen, key=lambda sighting: sighting.view)
