"""The easy town: every class has a color of its own, which gives it away."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from nerfseg_ns.town.classes import Label
from nerfseg_ns.town.meshes import linear

LUMINANCE = np.float32([0.2126, 0.7152, 0.0722])
"""Of linear red, green and blue (Rec. 709)."""

_OWN_COLORS = {
    Label.BUILDING: (190, 92, 70),
    Label.WATER: (40, 96, 190),
    Label.SKY: (128, 128, 128),  # never asked: the sky is no surface
    Label.SIDEWALK: (214, 170, 176),
    Label.VEGETATION: (40, 120, 52),
    Label.TERRAIN: (176, 182, 84),
    Label.STATIC: (226, 132, 30),
    Label.POLE: (96, 208, 214),
    Label.ROAD: (118, 118, 124),
    Label.ROADLINE: (250, 244, 200),
    Label.VEHICLES: (150, 60, 190),
    Label.WALL: (32, 140, 140),
}
"""sRGB, 0 to 255; only hue and saturation count."""


def _chromaticity() -> Float[ndarray, "classes 3"]:
    """Each class's color, linear, at luminance 1."""
    colors = np.float32([linear(np.array(_OWN_COLORS[label])) for label in Label])
    return colors / (colors @ LUMINANCE)[:, None]


CHROMATICITY = _chromaticity()


def give_away(reflectance: Float[ndarray, "n 3"], labels: Int[ndarray, " n"]) -> Float[ndarray, "n 3"]:
    """Gives surfaces their class's hue and saturation and leaves them their brightness, textures included.

    Args:
        reflectance: linear, as the look-alike town has it.
        labels: class of each surface.
    """
    return np.minimum((reflectance @ LUMINANCE)[:, None] * CHROMATICITY[labels], np.float32(0.95))
