"""What differs from view to view of a real town: where on the sun shadow rays go, how wind has turned the leaves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from nerfseg_ns.town.textures import Noise

HAZE = 0.25
"""Share of a soft sun's light that comes from the haze around it."""
HAZE_WIDTH = 8.0
"""Of the haze, in suns."""
TURN = 0.8
"""Logarithm of how much brighter or darker wind makes a leaf, at the most."""
STREAM = 7
"""Of the seed's random numbers."""


class Moment:
    """When a view is looked at.

    Args:
        seed: of the town.
        place: of the camera, metres, which stands for the moment: a view is the same whatever was looked at before.
    """

    def __init__(self, seed: int, place: Float[ndarray, " 3"]) -> None:
        self._rng = np.random.default_rng([seed, STREAM, *np.float32(place).view(np.uint32)])
        self._gust = int(self._rng.integers(1 << 20))

    def towards_sun(self, sun: Float[ndarray, " 3"], width: float, count: int) -> Float[ndarray, "count 3"]:
        """Directions to places on a sun of so many degrees in a haze; all the same where it has no width."""
        rays = np.broadcast_to(sun, (count, 3))
        if width > 0:
            offsets = sun_offsets(self._rng, count, width)
            side = np.cross(sun, np.float32([0, 0, 1]))
            side /= np.linalg.norm(side)
            rays = rays + offsets[:, :1] * side + offsets[:, 1:] * np.cross(sun, side)
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return np.ascontiguousarray(rays, np.float32)

    def turned(self, leaves: Int[ndarray, " n"], wind: float, noise: Noise) -> Float[ndarray, " n"]:
        """Factors on the brightness of leaves, each of which the wind turns in its own way."""
        turn = 2 * noise.cell(leaves, np.full_like(leaves, self._gust)) - 1
        return np.exp(np.float32(TURN * wind) * turn)


def sun_offsets(rng: np.random.Generator, count: int, width: float) -> Float[ndarray, "count 2"]:
    """Where on a hazy sun shadow rays go, as tangents of angles: most to its disc, some to the haze around it."""
    distance = np.tan(np.radians(width) / 2) * np.sqrt(rng.random(count, np.float32))
    distance *= np.where(rng.random(count, np.float32) < HAZE, np.float32(HAZE_WIDTH), np.float32(1))
    angle = 2 * np.pi * rng.random(count, np.float32)
    return (distance * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
