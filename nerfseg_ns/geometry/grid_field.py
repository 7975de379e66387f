"""Networks of the grid geometry: feature planes with small MLPs, a coarse density grid that proposes samples, a sky."""

from typing import Dict, List, Literal, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.encodings import SHEncoding
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.mlp import MLP
from nerfstudio.fields.base_field import Field
from torch import Tensor, nn

from nerfseg_ns.core.grids import sample_voxels
from nerfseg_ns.geometry.planes import MultiScalePlanes
from nerfseg_ns.geometry.scene_frame import SceneFrame

INITIAL_LOG_DENSITY = -2.0
"""Log of the optical depth of the whole slab at the start: nearly clear, so that light reaches the ground."""


class GridField(Field):
    """Density, location feature and color from feature planes.

    Args:
        frame: maps positions to grid coordinates.
        resolutions: see `MultiScalePlanes`.
        height_ratio: see `MultiScalePlanes`.
        components: see `MultiScalePlanes`.
        width: of the two small MLPs' hidden layers, and of the location feature.
        implementation: of the MLPs.
    """

    def __init__(
        self,
        frame: SceneFrame,
        resolutions: Tuple[int, ...],
        height_ratio: float,
        components: int,
        width: int,
        implementation: Literal["torch", "tcnn"] = "torch",
    ) -> None:
        super().__init__()
        self.frame = frame
        self.planes = MultiScalePlanes(resolutions, height_ratio, components)
        self.mlp_base = MLP(
            self.planes.out_dim, 2, width, width, out_activation=nn.ReLU(), implementation=implementation
        )
        self.density = nn.Linear(width, 1)
        nn.init.zeros_(self.density.bias)
        self.direction_encoding = SHEncoding(levels=3)
        self.mlp_color = MLP(
            width + self.direction_encoding.get_out_dim(),
            2,
            width,
            3,
            out_activation=nn.Sigmoid(),
            implementation=implementation,
        )

    def get_density(
        self, ray_samples: RaySamples
    ) -> Tuple[Float[Tensor, "rays samples 1"], Float[Tensor, "rays samples width"]]:
        return self.query(self.frame.to_grid(ray_samples.frustums.get_positions()))

    def query(
        self, positions: Float[Tensor, "rays samples 3"]
    ) -> Tuple[Float[Tensor, "rays samples 1"], Float[Tensor, "rays samples width"]]:
        """Density and location feature at positions in grid coordinates."""
        features = self.mlp_base(self.planes(positions).flatten(0, -2)).float().view(*positions.shape[:-1], -1)
        return slab_density(self.density(features), self.frame), features

    def get_outputs(
        self, ray_samples: RaySamples, density_embedding: Optional[Tensor] = None
    ) -> Dict[FieldHeadNames, Tensor]:
        assert density_embedding is not None
        directions = self.direction_encoding(ray_samples.frustums.directions[..., 0, :])[..., None, :]
        directions = directions.expand(*density_embedding.shape[:-1], -1)
        inputs = torch.cat([density_embedding, directions], dim=-1)
        rgb = self.mlp_color(inputs.flatten(0, -2)).float().view(*inputs.shape[:-1], 3)
        return {FieldHeadNames.RGB: rgb}

    def grids(self) -> List[nn.Parameter]:
        """The feature planes, which learn faster than the networks."""
        return list(self.planes.parameters())

    def networks(self) -> List[nn.Parameter]:
        """The small MLPs."""
        return [*self.mlp_base.parameters(), *self.density.parameters(), *self.mlp_color.parameters()]


class ProposalGrid(nn.Module):
    """Density on a coarse grid: cheap to ask at many samples, to place the few that the field is asked at.

    Args:
        frame: maps positions to grid coordinates.
        resolution: cells along the ground and upwards.
    """

    GAIN = 2.0
    """Lets the grid keep up with the field at the feature planes' learning rate; 10 gave a larger depth error."""

    def __init__(self, frame: SceneFrame, resolution: Tuple[int, int]) -> None:
        super().__init__()
        self.frame = frame
        self.grid = nn.Parameter(torch.zeros(1, 1, resolution[1], resolution[0], resolution[0]))

    def forward(self, positions: Float[Tensor, "rays samples 3"]) -> Float[Tensor, "rays samples 1"]:
        values = sample_voxels(self.grid, self.frame.to_grid(positions).reshape(-1, 3))
        return slab_density(self.GAIN * values.view(*positions.shape[:-1], 1), self.frame)


class Sky(nn.Module):
    """Color of what lies beyond the scene, from the direction alone."""

    def __init__(self) -> None:
        super().__init__()
        self.encoding = SHEncoding(levels=4)
        self.mlp = MLP(self.encoding.get_out_dim(), 2, 32, 3, out_activation=nn.Sigmoid())

    def forward(self, directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays 3"]:
        return self.mlp(self.encoding(directions))


def slab_density(raw: Float[Tensor, "*batch 1"], frame: SceneFrame) -> Float[Tensor, "*batch 1"]:
    """Density from a network's output, in units of the slab's thickness: the same network suits any scene's scale."""
    return trunc_exp(raw + INITIAL_LOG_DENSITY) / frame.thickness
