"""How far the eye is to be trusted: what its features tell of labelled pixels that nothing was learnt from.

Tried with a small classifier of single pixels: it learns in seconds, and the question is about the features.
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nerfseg_ns.core.seeds import seeded
from nerfseg_ns.eye.copies import FOLDS
from nerfseg_ns.eye.descent import descend
from nerfseg_ns.eye.training_pixels import SeenPixels

HIDDEN, DROPOUT = 64, 0.2
STEPS, BATCH = 300, 512


def find_skill(seen: SeenPixels, num_classes: int, seed: int) -> Optional[float]:
    """Share of the labelled pixels that it gets right after learning from other parts of the photos.

    Few pixels are taken of each class, so that all classes count about alike.

    Args:
        seen: labelled pixels.
        num_classes: number of classes.
        seed: of all that is random.

    Returns:
        0 to 1; None where the labels lie in one part only, so that nothing can be tried.
    """
    mean, deviation = seen.scale
    features = (seen.features - mean) / deviation
    right = []
    for fold in range(FOLDS):
        own, other = seen.folds == fold, seen.folds != fold
        known = torch.isin(seen.labels, seen.labels[own]) & other  # a class that it never saw tells nothing of it
        if own.any() and known.any():
            classifier = _learn(features[own], seen.labels[own], num_classes, seed)
            right.append(_is_right(classifier, features, seen.labels, known))
    return float(torch.cat(right).float().mean()) if right else None


def _learn(
    features: Float[Tensor, "pixels channels"], labels: Int[Tensor, "pixels"], num_classes: int, seed: int
) -> nn.Module:
    with seeded(seed, features.device):
        layers = nn.Linear(features.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, num_classes)
        classifier = nn.Sequential(nn.Dropout(DROPOUT), *layers).to(features.device)

        def find_loss() -> Float[Tensor, ""]:
            batch = torch.randint(len(labels), (BATCH,)).to(labels.device)
            return F.cross_entropy(classifier(features[batch]), labels[batch])

        descend(classifier, STEPS, find_loss)
    return classifier


@torch.no_grad()
def _is_right(
    classifier: nn.Module, features: Tensor, labels: Tensor, chosen: Bool[Tensor, "pixels"]
) -> Bool[Tensor, "chosen"]:
    return classifier(features[chosen]).argmax(dim=-1) == labels[chosen]
