"""Choosing samples along rays."""

import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor


def widen(chosen: Bool[Tensor, "rays samples"], reach: int) -> Bool[Tensor, "rays samples"]:
    """The chosen samples and those within `reach` of one on the same ray."""
    return F.max_pool1d(chosen[:, None].float(), 2 * reach + 1, stride=1, padding=reach)[:, 0] > 0
