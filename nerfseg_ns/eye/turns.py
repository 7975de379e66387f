"""The eight ways to lay a photo that looks straight down: four turns, each plain and mirrored."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

TURNS = 8
TEST_TURNS = (0, 2, 4, 6)
"""As it is, upside down, and both mirrored: the ones that keep the image's shape."""


def turn(image: Shaped[Tensor, "*channels height width"], number: int) -> Shaped[Tensor, "*channels a b"]:
    """Lays an image in one of the eight ways.

    Args:
        image: its last two dimensions are turned.
        number: below 4 quarter turns; from 4 on mirrored after them.
    """
    turned = torch.rot90(image, number % 4, dims=(-2, -1))
    return turned.flip(-1) if number >= 4 else turned


def turn_back(image: Shaped[Tensor, "*channels a b"], number: int) -> Shaped[Tensor, "*channels height width"]:
    """Undoes `turn`."""
    return torch.rot90(image.flip(-1) if number >= 4 else image, -(number % 4), dims=(-2, -1))
