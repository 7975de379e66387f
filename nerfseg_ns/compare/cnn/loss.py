"""The loss of a label map: cross-entropy over the labelled pixels, in which rare classes may weigh more."""

from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from nerfseg_ns.compare.cnn.photos import TrainingPhoto
from nerfseg_ns.labels.classes import IGNORE_INDEX


def class_weights(photos: Sequence[TrainingPhoto], num_classes: int, balance: float) -> Float[Tensor, " classes"]:
    """Weights of the classes, 1 on the average over the labelled pixels; 0 of a class that does not occur.

    Args:
        photos: with a labelled pixel among them.
        num_classes: of the scene.
        balance: power of the class's share that divides; 0 for equal weights.
    """
    pixels = torch.cat([photo.labels[photo.labels != IGNORE_INDEX] for photo in photos])
    share = torch.bincount(pixels.long(), minlength=num_classes) / len(pixels)
    weights = torch.where(share > 0, share.clamp(min=1 / len(pixels)) ** -balance, 0.0)
    return weights / (weights * share).sum()


def segmentation_loss(
    logits: Float[Tensor, "batch classes height width"],
    labels: UInt8[Tensor, "batch height width"],
    weights: Float[Tensor, " classes"],
) -> Float[Tensor, ""]:
    """Weighted mean of the cross-entropy over the labelled pixels; 0 where there are none.

    Args:
        logits: of the network.
        labels: class indices, IGNORE_INDEX where not labelled.
        weights: of the classes.
    """
    known = labels != IGNORE_INDEX
    total = F.cross_entropy(logits, labels.long(), weights, ignore_index=IGNORE_INDEX, reduction="sum")
    # torch's own mean is not a number where nothing is labelled, as in a crop of a photo with a few strokes
    return total / weights[labels[known].long()].sum().clamp(min=1e-6)
