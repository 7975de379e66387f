"""The two classifiers: F2S on the rendered feature (and colour feature), C2S on the colour feature alone."""

from typing import Optional

import torch
from jaxtyping import Float
from torch import Tensor, nn


class F2SHead(nn.Module):
    """Class logits of a ray from its rendered semantic feature and, with C, its colour feature: the segmentation.

    Args:
        feature_dim: width of the rendered semantic feature.
        colour_dim: width of the colour feature, 0 without the colour-radiance network.
        num_classes: number of classes.
    """

    def __init__(self, feature_dim: int, colour_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim + colour_dim, num_classes)

    def forward(
        self, features: Float[Tensor, "rays feature"], colour: Optional[Float[Tensor, "rays colour"]]
    ) -> Float[Tensor, "rays classes"]:
        return self.linear(features if colour is None else torch.cat([features, colour], dim=-1))


class C2SHead(nn.Module):
    """Class logits from the colour feature alone: an auxiliary classifier, used only in the loss.

    Args:
        colour_dim: width of the colour feature.
        num_classes: number of classes.
    """

    def __init__(self, colour_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(colour_dim, num_classes)

    def forward(self, colour: Float[Tensor, "rays colour"]) -> Float[Tensor, "rays classes"]:
        return self.linear(colour)
