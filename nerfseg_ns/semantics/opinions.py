"""Several opinions on the class of a pixel, multiplied: the field's, the image's surroundings', the trained eye's."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

FLOOR = 0.1
"""Share of an opinion that is spread over all classes before opinions are multiplied: none can rule a class out. Those
learnt from smoothed labels have a floor of their own below it."""


def opinion(logits: Float[Tensor, "*pixels classes"]) -> Float[Tensor, "*pixels classes"]:
    """Logarithms of an opinion's probabilities, of which a share is spread over all classes: what is to be added up."""
    return ((1.0 - FLOOR) * logits.float().softmax(dim=-1) + FLOOR / logits.shape[-1]).log()
