"""Fewer samples for the semantic modules: those of a ray that weigh next to nothing say next to nothing."""

from typing import Optional

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.geometry.base import RaySegment


def keep_heaviest(segment: RaySegment, count: Optional[int], min_weight: float = 0.0, reach: int = 0) -> RaySegment:
    """The samples of each ray that matter, in their order along the ray.

    What matters is a sample that weighs more than `min_weight`, or lies within `reach` of one on its ray. With the reach
    of the ray convolution, the convolution of what remains is that of the whole ray wherever weights are not dropped.

    Args:
        segment: of every ray all samples.
        count: samples to keep of each ray, those that matter most; None keeps as many as the ray that needs most.
        min_weight: of a sample that matters; others are dropped, or weigh nothing where a ray has room for them.
        reach: samples on either side of one that matters.

    Returns:
        The same rays with at most as many samples; the very segment where nothing is to be dropped.
    """
    total = segment.weights.shape[1]
    if min_weight <= 0.0 and (count is None or count >= total):
        return segment
    score = F.max_pool1d(segment.weights.transpose(1, 2), 2 * reach + 1, 1, reach)[:, 0]
    if count is None:
        count = max(1, int((score > min_weight).sum(dim=1).max()))
    chosen = score.topk(min(count, total), dim=1, sorted=False).indices.sort(dim=1).values
    weights = _choose(segment.weights, chosen)
    if min_weight > 0.0:
        weights = weights * (score.gather(1, chosen) > min_weight)[..., None]
    return RaySegment(
        _choose(segment.features, chosen), _choose(segment.positions, chosen), weights, segment.transmittance
    )


def _choose(
    values: Float[Tensor, "rays samples channels"], chosen: Int[Tensor, "rays count"]
) -> Float[Tensor, "rays count channels"]:
    """The chosen samples' values."""
    rows = chosen + values.shape[1] * torch.arange(len(chosen), device=chosen.device)[:, None]
    return values.flatten(0, 1)[rows.flatten()].view(*chosen.shape, -1)
