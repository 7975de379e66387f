"""Depth of rendered rays."""

import torch
from jaxtyping import Float
from torch import Tensor


def median_depth(
    weights: Float[Tensor, "rays samples 1"],
    starts: Float[Tensor, "rays samples 1"],
    ends: Float[Tensor, "rays samples 1"],
    behind: Float[Tensor, "rays 1"],
) -> Float[Tensor, "rays 1"]:
    """Distance at which half of a ray's light is absorbed, interpolated within the sample.

    Unlike the mean, it is not drawn far away by the little light that a surface lets through.

    Args:
        weights: volume-rendering weights.
        starts: distances at which the samples begin.
        ends: distances at which they end.
        behind: the depth of rays of which less than half is absorbed.
    """
    absorbed = weights[..., 0].cumsum(dim=-1)
    index = (absorbed < 0.5).sum(dim=-1, keepdim=True).clamp(max=absorbed.shape[-1] - 1)
    start, end, weight = (values[..., 0].gather(-1, index) for values in (starts, ends, weights))
    share = ((0.5 - absorbed.gather(-1, index) + weight) / weight.clamp(min=1e-9)).clamp(0.0, 1.0)
    return torch.where(absorbed[:, -1:] < 0.5, behind, start + share * (end - start))
