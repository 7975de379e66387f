"""Features of the place, learnt from the labels: what was labelled in one view is known there in every view.

The paper's Location-MLP keeps the position in its 256-wide feature. The small feature of a grid geometry does not: it
holds what density and color need. These features give stage 2 the position back.
"""

from typing import Tuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfseg_ns.core.grids import sample_voxels

COMPONENTS = 8
"""Features of each scale."""
LAYERS = 8
"""Cells upwards: enough to tell a roof or a crown from the ground below it."""
SPREAD = 1e-3
"""Starting almost at nothing: a place that no label ever saw is judged by its location feature alone."""


class PositionFeatures(nn.Module):
    """Voxel grids that belong to stage 2, concatenated over their scales.

    Voxels, not feature planes: a cell of an upright plane serves a whole line of places, so that what is learnt at a
    labelled place would speak at places that no label ever saw. A voxel stays as it began until a label sees it.

    In training they are hidden from some rays, so that the location feature learns to do without them: places that
    nobody labelled have nothing else.

    Args:
        resolutions: cells along the ground, one entry a scale.
        dropout: share of the rays from which they are hidden in training.
    """

    def __init__(self, resolutions: Tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.grids = nn.ParameterList(
            [torch.empty(1, COMPONENTS, LAYERS, size, size).uniform_(-SPREAD, SPREAD) for size in resolutions]
        )
        self.out_dim = COMPONENTS * len(resolutions)

    def forward(self, positions: Float[Tensor, "rays samples 3"]) -> Float[Tensor, "rays samples out_dim"]:
        """Features at positions in [-1, 1]^3, the third axis up."""
        flat = positions.reshape(-1, 3)
        features = torch.cat([sample_voxels(grid, flat) for grid in self.grids], dim=-1)
        features = features.view(*positions.shape[:-1], self.out_dim)
        if not self.training or self.dropout == 0.0:
            return features
        return features * (torch.rand(len(positions), 1, 1, device=features.device) >= self.dropout)
