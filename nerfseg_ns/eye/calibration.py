"""How sure the eye may be: found on labelled pixels that it did not learn from."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.eye.config import EyeConfig
from nerfseg_ns.eye.head import PixelHeads
from nerfseg_ns.eye.training_pixels import FOLDS, SeenPixels

TEMPERATURES = tuple(1.2**power for power in range(-2, 13))
"""Tried ones: 0.7 to 8.9."""


@torch.no_grad()
def find_temperature(seen: SeenPixels, heads: PixelHeads, config: EyeConfig, seed: int) -> float:
    """The temperature that makes what the classifiers say of pixels in other parts of the photos most likely.

    Args:
        seen: labelled pixels.
        heads: untrained ones, which are trained and left so.
        config: of the training; half as long here.
        seed: of all that is random.

    Returns:
        What logits are to be divided by; 1 where the labels lie in one part only.
    """
    logits, labels = [], []
    for fold in range(FOLDS):
        own, other = seen.folds == fold, seen.folds != fold
        known = torch.isin(seen.labels, seen.labels[own]) & other  # a class that it never saw tells nothing of it
        if own.any() and known.any():
            heads.learn(seen.features[own], seen.labels[own], replace(config, steps=(config.steps + 1) // 2), seed)
            logits.append(mean_logits(heads(seen.features[known])))
            labels.append(seen.labels[known])
    if not labels:
        return 1.0
    return best_temperature(torch.cat(logits), torch.cat(labels))


def best_temperature(logits: Float[Tensor, "pixels classes"], labels: Int[Tensor, "pixels"]) -> float:
    """The tried temperature with the least cross-entropy."""
    return min(TEMPERATURES, key=lambda temperature: float(F.cross_entropy(logits / temperature, labels)))


def mean_logits(logits: Float[Tensor, "heads *pixels classes"]) -> Float[Tensor, "*pixels classes"]:
    """Logarithms of the mean of several classifiers' probabilities."""
    return logits.log_softmax(dim=-1).exp().mean(dim=0).clamp(min=1e-6).log()
