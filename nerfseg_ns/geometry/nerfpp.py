"""The paper's geometry: NeRF++ with two cascade levels, foreground and background apart (section II-A)."""

from dataclasses import dataclass, field
from typing import Dict, List, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.model_components.losses import MSELoss
from nerfstudio.model_components.ray_samplers import PDFSampler, UniformSampler
from torch import Tensor, nn
from torch.nn import Parameter

from nerfseg_ns.geometry.base import Geometry, GeometryConfig, LevelLayout, RaySegment, RenderedLevel, composite
from nerfseg_ns.geometry.depth import median_depth
from nerfseg_ns.geometry.inverted_sphere import InvertedSphereSampler, foreground_bounds, inverse_radius_deltas
from nerfseg_ns.geometry.nerfpp_field import InvertedSphere, NeRFPPField, NeRFPPFieldConfig

CONTRACTION = SceneContraction()
"""Takes all of space into the ball of radius 2."""


@dataclass
class NeRFPPGeometryConfig(GeometryConfig):
    """NeRF++ in the paper's sizes."""

    _target: Type = field(default_factory=lambda: NeRFPPGeometry)
    num_coarse_samples: int = 64
    """Samples of the first level, in the foreground and in the background each."""
    num_importance_samples: int = 128
    """Samples that the second level adds where the first one found matter, in each of the two."""
    networks: NeRFPPFieldConfig = field(default_factory=NeRFPPFieldConfig)
    """Sizes of the networks."""


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
        """Renders both parts and puts them together with what the foreground lets through (NeRF++ equation 5)."""
        parts = [
            self._render(self.foreground, foreground),
            self._render(self.background, inverse_radius_deltas(background)),
        ]
        rgb, accumulation, segments = zip(*parts)
        segments[1].transmittance = 1.0 - accumulation[0]
        transmittances = [segment.transmittance for segment in segments]
        weights = [segment.weights * segment.transmittance[:, None] for segment in segments]
        starts, ends = zip(*((part.frustums.starts, part.frustums.ends) for part in (foreground, background)))
        depth = median_depth(torch.cat(weights, 1), torch.cat(starts, 1), torch.cat(ends, 1), ends[1][:, -1])
        return RenderedLevel(composite(rgb, transmittances), depth, accumulation[0], list(segments))

    @staticmethod
    def _render(
        network: NeRFPPField, samples: RaySamples
    ) -> Tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 1"], RaySegment]:
        density, features = network.get_density(samples)
        weights = samples.get_weights(density)
        rgb = network.get_outputs(samples, features)[FieldHeadNames.RGB]
        accumulation = weights.sum(dim=-2)
        positions = CONTRACTION(samples.frustums.get_positions()) / 2.0
        segment = RaySegment(features, positions, weights, torch.ones_like(accumulation))
        return (weights * rgb).sum(dim=-2), accumulation, segment


class NeRFPPGeometry(Geometry):
    """Coarse and fine NeRF++ levels; the fine one samples where the coarse one found matter.

    Args:
        config: samples and sizes.
    """

    config: NeRFPPGeometryConfig

    def __init__(self, config: NeRFPPGeometryConfig) -> None:
        super().__init__()
        self.config = config
        self.coarse = NeRFPPLevel(config.networks)
        self.fine = NeRFPPLevel(config.networks)
        self.foreground_sampler = UniformSampler(config.num_coarse_samples)
        self.background_sampler = InvertedSphereSampler(config.num_coarse_samples)
        self.pdf_sampler = PDFSampler(config.num_importance_samples)
        self.rgb_loss = MSELoss()
        layout = LevelLayout((config.networks.layer_width, config.networks.layer_width))
        self.levels = (layout, layout)

    def forward(self, ray_bundle: RayBundle) -> List[RenderedLevel]:
        bundle = foreground_bounds(ray_bundle)
        samples = [self.foreground_sampler(bundle), self.background_sampler(bundle)]
        coarse = self.coarse(*samples)
        finer = [
            self.pdf_sampler(bundle, sample, segment.weights.detach())
            for sample, segment in zip(samples, coarse.segments)
        ]
        return [coarse, self.fine(*finer)]

    def get_losses(
        self, levels: List[RenderedLevel], image: Float[Tensor, "rays 3"], step: int
    ) -> Dict[str, Float[Tensor, ""]]:
        return {f"rgb_loss_{name}": self.rgb_loss(image, level.rgb) for name, level in zip(("coarse", "fine"), levels)}

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {"geometry": list(self.parameters())}
