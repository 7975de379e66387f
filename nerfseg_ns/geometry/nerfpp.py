"""The paper's geometry: NeRF++ with two cascade levels, foreground and background apart (section II-A)."""

from dataclasses import dataclass, field
from functools import partial
from typing import Dict, List, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.losses import MSELoss
from nerfstudio.model_components.ray_samplers import PDFSampler, UniformSampler
from torch import Tensor
from torch.nn import Parameter

from nerfseg_ns.geometry.base import Geometry, GeometryConfig, LevelLayout, RenderedLevel
from nerfseg_ns.geometry.inverted_sphere import InvertedSphereSampler, foreground_bounds
from nerfseg_ns.geometry.nerfpp_field import NeRFPPFieldConfig
from nerfseg_ns.geometry.nerfpp_level import NeRFPPLevel
from nerfseg_ns.geometry.nerfpp_skipping import SkippingRenderer


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
    skip_weight: float = 0.0
    """Share of a ray's light that may go unseen where a learnt scene is rendered, in stage 2 too; stage 1 learns from
    every sample. 0.001 makes label maps more than twice as fast and changes about one label in a thousand; 0 asks the
    networks at every sample, as in the paper. Ray convolutions with kernels wider than 5 need 0."""


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
        if self.config.skip_weight > 0 and not self.training and not torch.is_grad_enabled():
            draw = partial(self.pdf_sampler, bundle)
            return SkippingRenderer(self.coarse, self.fine, draw, self.config.skip_weight).render(*samples)
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
