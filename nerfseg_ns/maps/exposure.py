"""The photos' exposures, brought together."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROUNDS = 30
MOST_GAIN = 0.7
"""Logarithm of how far a photo's exposure is corrected at the most: a factor of two."""
DARK = 0.02
"""Added to colors before their logarithms are taken: what is nearly black says little."""


class PlaceColors(NamedTuple):
    """What a photo shows of places."""

    places: Int[Tensor, "seen"]
    """Their numbers."""
    colors: Float[Tensor, "seen 3"]
    """0 to 1."""


def find_gains(photos: Sequence[PlaceColors], num_places: int) -> Float[Tensor, "photos 3"]:
    """Logarithms of factors, channel by channel, that bring the photos' exposures together: they make what several
    photos see as alike as they can, and change the whole as little as they can.

    Args:
        photos: what each of them shows.
        num_places: places in all.
    """
    shown = [(places, (colors + DARK).log()) for places, colors in photos]
    gains = torch.zeros(len(photos), 3)
    for _ in range(ROUNDS):
        sums, counts = torch.zeros(num_places, 3), torch.zeros(num_places, 1)
        for view, (places, logs) in enumerate(shown):
            sums[places] += logs + gains[view]
            counts[places] += 1
        means = sums / counts.clamp(min=1)
        for view, (places, logs) in enumerate(shown):
            several = counts[places, 0] > 1
            if several.any():
                gains[view] = (means[places] - logs)[several].median(dim=0).values
        gains -= gains.mean(dim=0)
    return gains.clamp(-MOST_GAIN, MOST_GAIN)
