"""The loss of stage 2."""

from typing import Optional

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.labels.classes import IGNORE_INDEX

LEAST_PROBABILITY = 1e-4
"""Of a class that a classifier finds less likely than smoothed labels make it: its logarithm must be finite."""


def label_loss(
    logits: Float[Tensor, "rays classes"],
    labels: Int[Tensor, "rays"],
    smoothing: float = 0.0,
    class_balance: float = 0.0,
) -> Float[Tensor, ""]:
    """Cross-entropy over the labelled rays; 0, not NaN, where no ray of the batch is labelled.

    Args:
        logits: of the rays.
        labels: class indices, IGNORE_INDEX where not labelled.
        smoothing: share of the target that is spread over all classes.
        class_balance: see `class_weights`.
    """
    labelled = labels != IGNORE_INDEX
    known = labels[labelled]
    losses = F.cross_entropy(logits[labelled], known, reduction="none", label_smoothing=smoothing)
    weights = class_weights(known, logits.shape[-1], class_balance)
    if weights is not None:  # of the rays: torch's own weights would bend what the smoothing spreads, too
        losses = losses * weights[known]
    return losses.sum() / labelled.sum().clamp(min=1)


def undo_smoothing(logits: Float[Tensor, "rays classes"], smoothing: float) -> Float[Tensor, "rays classes"]:
    """Logits of what a classifier means that learnt from smoothed labels.

    It says (1 - smoothing) p + smoothing / classes where it means p: never more than about 1 - smoothing, however sure
    it is. The class that it names stays the same.

    Args:
        logits: as learnt.
        smoothing: that it learnt with.
    """
    if smoothing == 0.0:
        return logits
    said = logits.float().softmax(dim=-1)
    return ((said - smoothing / logits.shape[-1]) / (1.0 - smoothing)).clamp(min=LEAST_PROBABILITY).log()


def class_weights(
    labels: Int[Tensor, "rays"], num_classes: int, class_balance: float
) -> Optional[Float[Tensor, "classes"]]:
    """Weights that let the rare classes of a batch count for more; their mean over its rays is 1.

    Args:
        labels: class indices of the labelled rays.
        num_classes: number of classes.
        class_balance: a class weighs as its share of the rays to the power of minus this. With 0 all rays count alike,
            with 1 all classes do.

    Returns:
        A weight a class, or None where all rays count alike.
    """
    if class_balance == 0.0:
        return None
    counts = labels.bincount(minlength=num_classes).float()
    weights = counts.clamp(min=1.0) ** -class_balance
    return weights * counts.sum().clamp(min=1.0) / (weights * counts).sum().clamp(min=1e-9)
