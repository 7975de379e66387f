"""Asking a network at chosen samples only: they are packed, evaluated, and put back into their places along the rays.

Letters used in the shapes: ``rays`` and ``samples`` as in `base`, ``asked`` the samples of all rays asked at once.
"""

from typing import Iterator, Tuple

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.field_components.field_heads import FieldHeadNames
from torch import Tensor

from nerfseg_ns.core.samples import widen
from nerfseg_ns.geometry.nerfpp_field import NeRFPPField

REACH = 2
"""Samples on either side that the widest ray convolution (kernel 5) sees."""
BLOCK = 16
"""Samples of a ray that are asked at once, before it is known whether light gets any farther."""

Index = Tuple[Int[Tensor, "asked"], Int[Tensor, "asked"]]
"""Ray, and place on the ray, of packed samples."""


def query_density(
    network: NeRFPPField, samples: RaySamples, chosen: Bool[Tensor, "rays samples"], skip_weight: float
) -> Tuple[Float[Tensor, "rays samples 1"], Float[Tensor, "rays samples width"]]:
    """Densities and features of the samples that matter, zero elsewhere.

    The chosen samples are asked from front to back for as long as more than `skip_weight` of the light gets through.
    All samples within `REACH` of one that weighs more than a tenth of that are asked too, wherever they are: a ray
    convolution there sees true features.

    Args:
        network: to ask.
        samples: along the rays.
        chosen: samples that may matter.
        skip_weight: share of a ray's light that does not matter.
    """
    density = torch.zeros_like(samples.deltas)
    features, asked, waiting = None, torch.zeros_like(chosen), chosen
    while True:
        fresh = waiting & (waiting.cumsum(dim=1) <= BLOCK)
        index = fresh.nonzero(as_tuple=True)
        if not len(index[0]):
            break
        for piece in _slices(index):
            values, embedding = network.get_density(RaySamples(samples.frustums[piece]))
            features = embedding.new_zeros(*chosen.shape, network.feature_dim) if features is None else features
            density[piece], features[piece] = values.to(density.dtype), embedding
        asked |= fresh
        weights = samples.get_weights(density)[..., 0]
        light = 1.0 - (weights.cumsum(dim=1) - weights)  # what reaches each sample
        waiting = ((chosen & (light > skip_weight)) | widen(weights > skip_weight / 10, REACH)) & ~asked
    return density, density.expand(-1, -1, network.feature_dim) if features is None else features


def query_rgb(
    network: NeRFPPField,
    samples: RaySamples,
    features: Float[Tensor, "rays samples width"],
    chosen: Bool[Tensor, "rays samples"],
) -> Float[Tensor, "rays samples 3"]:
    """Colors of the chosen samples, black elsewhere."""
    rgb = torch.zeros_like(samples.deltas).repeat(1, 1, 3)
    for piece in _slices(chosen.nonzero(as_tuple=True)):
        outputs = network.get_outputs(RaySamples(samples.frustums[piece]), features[piece])
        rgb[piece] = outputs[FieldHeadNames.RGB].to(rgb.dtype)
    return rgb


def samples_to_query(weights: Float[Tensor, "rays samples"], skip_weight: float) -> Bool[Tensor, "rays samples"]:
    """The fewest samples of each ray without which no more than `skip_weight` is lost."""
    ascending, order = weights.sort(dim=1)
    return torch.zeros_like(order, dtype=torch.bool).scatter(1, order, ascending.cumsum(dim=1) > skip_weight)


def _slices(index: Index) -> Iterator[Index]:
    """A packed index in pieces whose activations stay in a CPU's cache; larger ones where launches cost more."""
    size = 2**14 if index[0].device.type == "cpu" else 2**19
    return zip(*(part.split(size) for part in index)) if len(index[0]) else iter(())
