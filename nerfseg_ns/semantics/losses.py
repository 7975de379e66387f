"""The loss of stage 2."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.labels.classes import IGNORE_INDEX


def label_loss(logits: Float[Tensor, "rays classes"], labels: Int[Tensor, "rays"]) -> Float[Tensor, ""]:
    """Cross-entropy over the labelled rays; 0, not NaN, where no ray of the batch is labelled."""
    total = F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)
