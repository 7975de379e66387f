"""The networks of NeRF++ as the paper uses them, on nerfstudio's `NeRFField`."""

import math
from dataclasses import dataclass
from typing import Dict, Optional

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.field_components.encodings import NeRFEncoding
from nerfstudio.field_components.field_heads import DensityFieldHead, FieldHeadNames, RGBFieldHead
from nerfstudio.field_components.mlp import MLP
from nerfstudio.field_components.spatial_distortions import SpatialDistortion
from nerfstudio.fields.vanilla_nerf_field import NeRFField
from torch import Tensor, nn


@dataclass
class NeRFPPFieldConfig:
    """Sizes of the Location-MLP and the View-MLP; the defaults are the paper's."""

    num_layers: int = 8
    """Layers of the Location-MLP. Fewer only for trials on a CPU."""
    layer_width: int = 256
    """Width of the Location-MLP and of the location feature."""
    view_width: int = 128
    """Width of the View-MLP's hidden layer."""
    position_frequencies: int = 10
    """Frequencies of the position encoding; fewer give a smoother scene."""
    direction_frequencies: int = 4
    """Frequencies of the direction encoding."""


class Absolute(nn.Module):
    """Absolute value as an activation: NeRF++ makes its density positive with it."""

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        return x.abs()


class InvertedSphere(SpatialDistortion):
    """Position outside the unit sphere as (direction, inverse radius): (x/r, y/r, z/r, 1/r), NeRF++ section 4."""

    def forward(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
        radius = positions.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        return torch.cat([positions / radius, 1.0 / radius], dim=-1)


def frequency_encoding(in_dim: int, num_frequencies: int) -> NeRFEncoding:
    """NeRF's encoding, sin and cos of x, 2x, 4x, ..., input included (nerfstudio's own also multiplies by 2 pi)."""
    offset = math.log2(2 * math.pi)
    return NeRFEncoding(in_dim, num_frequencies, -offset, num_frequencies - 1 - offset, include_input=True)


class NeRFPPField(NeRFField):
    """Location-MLP (density and location feature) and View-MLP (color) of one part of the scene.

    The location feature is the density embedding that `get_density` returns; stage 2 reads it and never changes it.

    Args:
        config: sizes.
        spatial_distortion: None inside the unit sphere, `InvertedSphere` outside.

    Attributes:
        feature_dim: width of the location feature.
    """

    def __init__(self, config: NeRFPPFieldConfig, spatial_distortion: Optional[InvertedSphere] = None) -> None:
        super().__init__(
            position_encoding=frequency_encoding(4 if spatial_distortion else 3, config.position_frequencies),
            direction_encoding=frequency_encoding(3, config.direction_frequencies),
            base_mlp_num_layers=config.num_layers,
            base_mlp_layer_width=config.layer_width,
            skip_connections=(4,) if config.num_layers > 5 else (),  # nerfstudio has no skip into the last layer
            field_heads=None,
            spatial_distortion=spatial_distortion,
        )
        self.feature_dim = config.layer_width
        self.field_output_density = DensityFieldHead(config.layer_width, activation=Absolute())
        self.location_remap = nn.Linear(config.layer_width, config.layer_width)
        self.mlp_head = MLP(
            in_dim=config.layer_width + self.direction_encoding.get_out_dim(),
            num_layers=1,
            layer_width=config.view_width,
            out_activation=nn.ReLU(),
        )
        self.field_heads = nn.ModuleList([RGBFieldHead(config.view_width)])

    def get_outputs(
        self, ray_samples: RaySamples, density_embedding: Optional[Tensor] = None
    ) -> Dict[FieldHeadNames, Tensor]:
        assert density_embedding is not None
        return super().get_outputs(ray_samples, self.location_remap(density_embedding))
