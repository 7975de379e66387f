"""What a method says of a view."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor


@dataclass
class Prediction:
    """Labels of a view, and how sure they are."""

    labels: UInt8[ndarray, "height width"]
    """Class indices."""
    confidence: Float[ndarray, "height width"]
    """Probability of the class that is named, 0 to 1."""


def as_prediction(logits: Float[Tensor, "height width classes"]) -> Prediction:
    """The likeliest class of each pixel and its softmax probability."""
    confidence, labels = logits.softmax(dim=-1).max(dim=-1)
    return Prediction(labels.byte().cpu().numpy(), confidence.cpu().numpy())
