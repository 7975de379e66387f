"""Learnable features of a position in an aerial scene."""

from functools import reduce
from typing import Tuple

import torch
from jaxtyping import Float
from nerfstudio.field_components.encodings import KPlanesEncoding
from torch import Tensor, nn

from nerfseg_ns.core.grids import interpolate

SPREAD = 0.1
"""The features start out uniform between minus and plus this."""


class MultiScalePlanes(nn.Module):
    """Feature planes at several resolutions, summed over the three planes of a scale, concatenated over the scales.

    An aerial scene is wide and flat, so the planes that stand upright are lower than they are wide.

    Args:
        resolutions: cells along the ground, one entry a scale.
        height_ratio: cells upwards, as a share of those along the ground.
        components: features of each scale.
    """

    def __init__(self, resolutions: Tuple[int, ...], height_ratio: float = 0.25, components: int = 8) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            [
                KPlanesEncoding(
                    (size, size, max(8, round(size * height_ratio))),
                    components,
                    init_a=-SPREAD,
                    init_b=SPREAD,
                    reduce="sum",
                )
                for size in resolutions
            ]
        )
        self.out_dim = components * len(resolutions)

    def forward(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch out_dim"]:
        """Features at positions in [-1, 1]^3: those of nerfstudio's encodings, looked up by all threads."""
        flat = positions.reshape(-1, 3)
        coordinates = [flat[:, axes] for axes in self.scales[0].coo_combs]  # of the planes, the same at every scale
        features = [
            reduce(torch.add, [interpolate(plane, where) for plane, where in zip(scale.plane_coefs, coordinates)])
            for scale in self.scales
        ]
        return torch.cat(features).T.reshape(*positions.shape[:-1], self.out_dim)
