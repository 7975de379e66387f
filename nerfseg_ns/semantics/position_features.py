"""Features of the place, learnt from the labels: what was labelled in one view is known there in every view.

The paper's Location-MLP keeps the position in its 256-wide feature. The small feature of a grid geometry does not: it
holds what density and colour need. These features give stage 2 the position back.
"""

from typing import Tuple

import torch
from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.geometry.planes import MultiScalePlanes

SPREAD = 1e-3
"""Starting almost at nothing: a place that no label ever saw is judged by its location feature alone."""


class PositionFeatures(MultiScalePlanes):
    """Feature planes that belong to stage 2.

    In training they are hidden from some rays, so that the location feature learns to do without them: places that
    nobody labelled have nothing else.

    Args:
        resolutions: cells along the ground, one entry a scale.
        dropout: share of the rays from which they are hidden in training.
    """

    def __init__(self, resolutions: Tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__(resolutions, spread=SPREAD)
        self.dropout = dropout

    def forward(self, positions: Float[Tensor, "rays samples 3"]) -> Float[Tensor, "rays samples out_dim"]:
        features = super().forward(positions)
        if not self.training or self.dropout == 0.0:
            return features
        return features * (torch.rand(len(positions), 1, 1, device=features.device) >= self.dropout)
