"""Field and proposal density of the grid geometry."""

from typing import Dict, Literal, Optional, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.encodings import HashEncoding, KPlanesEncoding, SHEncoding
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.mlp import MLP
from nerfstudio.fields.base_field import Field, get_normalized_directions
from torch import Tensor, nn

from nerfseg_ns.geometry.scene_frame import SceneFrame


class PlanesEncoding(nn.Module):
    def __init__(self, resolutions, height_ratio, components, reduce):
        super().__init__()
        self.scales = nn.ModuleList(
            [
                KPlanesEncoding((r, r, max(8, int(r * height_ratio))), components, reduce=reduce,
                                init_a=0.1 if reduce == "product" else -0.1, init_b=0.5 if reduce == "product" else 0.1)
                for r in resolutions
            ]
        )
        self.out_dim = components * len(resolutions)

    def forward(self, x):
        return torch.cat([s(x) for s in self.scales], dim=-1)


class GridField(Field):
    def __init__(self, frame: SceneFrame, encoding="planes", resolutions=(64, 128, 256, 512), height_ratio=0.25, components=8, reduce="product",
                 width=64, feature_dim=64, init_bias=-2.0, hash_levels=8, log2=16, hash_max=512):
        super().__init__()
        self.frame = frame
        if encoding == "planes":
            self.encoding = PlanesEncoding(resolutions, height_ratio, components, reduce)
            d = self.encoding.out_dim
        else:
            self.encoding = HashEncoding(num_levels=hash_levels, min_res=16, max_res=hash_max, log2_hashmap_size=log2, features_per_level=2, implementation="torch")
            d = hash_levels * 2
        self.kind = encoding
        self.base = MLP(d, 2, width, feature_dim, out_activation=nn.ReLU())
        self.density = nn.Linear(feature_dim, 1)
        nn.init.zeros_(self.density.bias)
        self.init_bias = init_bias
        self.direction = SHEncoding(levels=3)
        self.colour = MLP(feature_dim + self.direction.get_out_dim(), 2, width, 3, out_activation=nn.Sigmoid())

    def get_density(self, ray_samples: RaySamples):
        x = self.frame.to_grid(ray_samples.frustums.get_positions())
        shape = x.shape[:-1]
        x = x.view(-1, 3)
        if self.kind == "hash":
            x = (x + 1) / 2
        features = self.base(self.encoding(x)).view(*shape, -1)
        density = trunc_exp(self.density(features) + self.init_bias) / (2 * self.frame.half_size[2])
        return density, features

    def get_outputs(self, ray_samples, density_embedding=None):
        d = ray_samples.frustums.directions
        enc = self.direction(d[..., :1, :].reshape(-1, 3)).view(d.shape[0], 1, -1).expand(-1, d.shape[1], -1)
        rgb = self.colour(torch.cat([density_embedding, enc], dim=-1))
        return {FieldHeadNames.RGB: rgb}


class ProposalGrid(nn.Module):
    def __init__(self, frame, resolution=128, height=32, init_bias=-2.0):
        super().__init__()
        self.frame = frame
        self.grid = nn.Parameter(torch.zeros(1, 1, height, resolution, resolution))
        self.init_bias = init_bias

    def forward(self, positions):
        x = self.frame.to_grid(positions).view(1, 1, 1, -1, 3)
        v = F.grid_sample(self.grid, x, align_corners=True, padding_mode="border").view(*positions.shape[:-1], 1)
        return trunc_exp(v * 10 + self.init_bias) / (2 * self.frame.half_size[2])
