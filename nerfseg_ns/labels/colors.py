"""Colors for classes that have none of their own."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RGB = tuple[int, int, int]

_TAKEN = ((0, 0, 0), (255, 255, 255), (230, 230, 230))
"""Black, white and the pale grey in which views are shown before there are labels: no class should look like these."""

_LEVELS = np.linspace(0, 255, 8).round()
"""The channel values that colors are made of: 512 colors, more than there are classes."""


@lru_cache(maxsize=8)
def distinct_colors(count: int) -> tuple[RGB, ...]:
    """Colors that are easy to tell apart on a label map, always the same ones.

    Each is the one farthest, in CIELAB, from all before it and from black, white and pale grey. A longer list begins
    with the shorter ones, so that adding a class at the end changes no other color.

    Args:
        count: how many, at most 255.

    Returns:
        RGB triples of 0 to 255, all different.
    """
    from skimage.color import rgb2lab

    candidates = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = rgb2lab(candidates / 255)
    taken = rgb2lab(np.array(_TAKEN) / 255)
    distances = np.linalg.norm(positions[:, None] - taken, axis=-1).min(axis=1)
    colors: list[RGB] = []
    for _ in range(count):
        farthest = distances.round(3).argmax()  # rounded: the same choice on every machine
        red, green, blue = map(int, candidates[farthest])
        colors.append((red, green, blue))
        distances = np.minimum(distances, np.linalg.norm(positions - positions[farthest], axis=-1))
    return tuple(colors)
