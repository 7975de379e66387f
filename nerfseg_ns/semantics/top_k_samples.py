"""Fewer samples for the semantic modules: those of a ray that weigh next to nothing say next to nothing."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.geometry.base import RaySegment


def top_k_samples(segment: RaySegment, count: int) -> RaySegment:
    """The samples of most weight of each ray, in their order along the ray, as if nothing lay between them.

    Args:
        segment: of every ray all samples.
        count: samples to keep of each ray.

    Returns:
        The same rays with that many samples; the very segment where it has no more.
    """
    if count >= segment.weights.shape[1]:
        return segment
    chosen = segment.weights[..., 0].topk(count, dim=1, sorted=False).indices.sort(dim=1).values
    features, positions, weights = (
        _choose(values, chosen) for values in (segment.features, segment.positions, segment.weights)
    )
    return RaySegment(features, positions, weights, segment.transmittance)


def mask_low_weights(segment: RaySegment, min_weight: float) -> RaySegment:
    """The same samples, of which those that weigh less count for nothing: the heads are not asked there."""
    if min_weight <= 0.0:
        return segment
    weights = segment.weights * (segment.weights >= min_weight)
    return RaySegment(segment.features, segment.positions, weights, segment.transmittance)


def _choose(
    values: Float[Tensor, "rays samples channels"], chosen: Int[Tensor, "rays count"]
) -> Float[Tensor, "rays count channels"]:
    """The chosen samples' values."""
    rows = chosen + values.shape[1] * torch.arange(len(chosen), device=chosen.device)[:, None]
    return values.flatten(0, 1)[rows.flatten()].view(*chosen.shape, -1)
