"""How far the eye is to be trusted: tried on labelled pixels that it did not learn from."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfseg_ns.eye.config import EyeConfig
from nerfseg_ns.eye.head import PixelHeads
from nerfseg_ns.eye.training_pixels import FOLDS, SeenPixels


@torch.no_grad()
def find_skill(seen: SeenPixels, heads: PixelHeads, config: EyeConfig, seed: int) -> float:
    """Share of the labelled pixels that the classifiers name rightly after learning from other parts of the photos.

    Few pixels are taken of each class, so that all classes count about alike.

    Args:
        seen: labelled pixels.
        heads: are trained here, and left so.
        config: of the training; half as long here.
        seed: of all that is random.

    Returns:
        0 to 1; 1 where the labels lie in one part only, so that nothing can be tried.
    """
    right = []
    for fold in range(FOLDS):
        own, other = seen.folds == fold, seen.folds != fold
        known = torch.isin(seen.labels, seen.labels[own]) & other  # a class that it never saw tells nothing of it
        if own.any() and known.any():
            heads.learn(seen.features[own], seen.labels[own], replace(config, steps=(config.steps + 1) // 2), seed)
            right.append(_is_right(heads, seen, known))
    return float(torch.cat(right).float().mean()) if right else 1.0


def _is_right(heads: PixelHeads, seen: SeenPixels, chosen: Bool[Tensor, "pixels"]) -> Bool[Tensor, "chosen"]:
    return mean_logits(heads(seen.features[chosen])).argmax(dim=-1) == seen.labels[chosen]


def mean_logits(logits: Float[Tensor, "heads *pixels classes"]) -> Float[Tensor, "*pixels classes"]:
    """Logarithms of the mean of several classifiers' probabilities."""
    return logits.log_softmax(dim=-1).exp().mean(dim=0).clamp(min=1e-6).log()
