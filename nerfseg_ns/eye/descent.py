"""How the eye's classifiers learn."""

from __future__ import annotations

from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfseg_ns.core.schedules import cosine

LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2


@torch.enable_grad()
def descend(classifier: nn.Module, steps: int, find_loss: Callable[[], Float[Tensor, ""]]) -> None:
    """Trains a classifier, and leaves it frozen.

    Args:
        classifier: with the weights to start from.
        steps: of AdamW, ever smaller ones.
        find_loss: of what the classifier says of a new batch.
    """
    classifier.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(classifier.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * cosine(step, steps)
        loss = find_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    classifier.eval().requires_grad_(False)
