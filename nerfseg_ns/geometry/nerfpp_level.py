"""One cascade level of NeRF++: foreground and background, and how they are put together (NeRF++ equation 5)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.spatial_distortions import SceneContraction
from torch import Tensor, nn

from nerfseg_ns.geometry.base import RaySegment, RenderedLevel, composite
from nerfseg_ns.geometry.depth import median_depth
from nerfseg_ns.geometry.inverted_sphere import inverse_radius_deltas
from nerfseg_ns.geometry.nerfpp_field import InvertedSphere, NeRFPPField, NeRFPPFieldConfig

CONTRACTION = SceneContraction()
"""Takes all of space into the ball of radius 2."""


@dataclass
class Part:
    """What lies inside the unit sphere, or what lies outside, along every ray."""

    samples: RaySamples
    """Where the part was asked."""
    features: Float[Tensor, "rays samples feature"]
    """Location feature of each sample."""
    weights: Float[Tensor, "rays samples 1"]
    """Volume-rendering weights within the part."""
    rgb: Float[Tensor, "rays 3"]
    """Color of the part."""

    @property
    def accumulation(self) -> Float[Tensor, "rays 1"]:
        """Share of the light that ends within the part."""
        return self.weights.sum(dim=-2)


class NeRFPPLevel(nn.Module):
    """Networks of one cascade level: inside the unit sphere, and outside it.

    Args:
        config: sizes of the networks.
    """

    def __init__(self, config: NeRFPPFieldConfig) -> None:
        super().__init__()
        self.foreground = NeRFPPField(config)
        self.background = NeRFPPField(config, InvertedSphere())

    def forward(self, foreground: RaySamples, background: RaySamples) -> RenderedLevel:
        """Renders both parts with every sample."""
        background = inverse_radius_deltas(background)
        return join(render_part(self.foreground, foreground), render_part(self.background, background))


def render_part(network: NeRFPPField, samples: RaySamples) -> Part:
    """Renders a part, asking its network for density and color at every sample."""
    density, features = network.get_density(samples)
    weights = samples.get_weights(density)
    rgb = network.get_outputs(samples, features)[FieldHeadNames.RGB]
    return Part(samples, features, weights, (weights * rgb).sum(dim=-2))


def join(foreground: Part, background: Part) -> RenderedLevel:
    """Puts the parts together with what the foreground lets through (NeRF++ equation 5)."""
    accumulation = foreground.accumulation
    transmittances = [torch.ones_like(accumulation), 1.0 - accumulation]
    parts = [foreground, background]
    segments = [
        RaySegment(part.features, CONTRACTION(part.samples.frustums.get_positions()) / 2.0, part.weights, passed)
        for part, passed in zip(parts, transmittances)
    ]
    weights = [part.weights * passed[:, None] for part, passed in zip(parts, transmittances)]
    starts, ends = zip(*((part.samples.frustums.starts, part.samples.frustums.ends) for part in parts))
    depth = median_depth(torch.cat(weights, 1), torch.cat(starts, 1), torch.cat(ends, 1), ends[1][:, -1])
    rgb = composite([part.rgb for part in parts], transmittances)
    return RenderedLevel(rgb, depth, accumulation, segments)
