"""The two classifiers: F2S on the rendered feature (and color feature), C2S on the color feature alone."""

from typing import Optional

import torch
from jaxtyping import Float
from torch import Tensor, nn


class F2SHead(nn.Module):
    """Class logits of a ray from its rendered semantic feature and, with C, its color feature: the segmentation.

    Args:
        feature_dim: width of the rendered semantic feature.
        color_dim: width of the color feature, 0 without the color-radiance network.
        num_classes: number of classes.
    """

    def __init__(self, feature_dim: int, color_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim + color_dim, num_classes)

    def forward(
        self, features: Float[Tensor, "rays feature"], color: Optional[Float[Tensor, "rays color"]]
    ) -> Float[Tensor, "rays classes"]:
        return self.linear(features if color is None else torch.cat([features, color], dim=-1))


class C2SHead(nn.Module):
    """Class logits from the color feature alone: an auxiliary classifier, used only in the loss.

    Args:
        color_dim: width of the color feature.
        num_classes: number of classes.
    """

    def __init__(self, color_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(color_dim, num_classes)

    def forward(self, color: Float[Tensor, "rays color"]) -> Float[Tensor, "rays classes"]:
        return self.linear(color)
