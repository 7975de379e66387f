"""Learning rates over the steps of a training."""

from __future__ import annotations

import math


def cosine(step: int, steps: int) -> float:
    """A factor that falls from 1 to 0 along half a cosine."""
    return (1 + math.cos(math.pi * step / steps)) / 2
