"""Dual attention of DANet (Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019).

Features are A, [batch, C, height, width]; N = height * width positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class PositionAttention(nn.Module):
    """Adds to each position what similar positions hold: Equations 1 and 2.

    Args:
        channels: C.
        reduction: B and C of the paper, which are compared, have C / reduction channels.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // reduction, 1)
        self.key = nn.Conv2d(channels, channels // reduction, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Same shape."""
        query, key, value = (layer(features).flatten(2).mT[:, None] for layer in (self.query, self.key, self.value))
        # Zeros change no product, and with one width torch never holds all N x N weights at once, which takes
        # gigabytes for a photo of 256 pixels.
        padding = (0, value.shape[-1] - query.shape[-1])
        query, key = F.pad(query, padding), F.pad(key, padding)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # Equation 1 has no scale
        return self.alpha * attended[:, 0].mT.reshape(features.shape) + features


class ChannelAttention(nn.Module):
    """Adds to each channel what similar channels hold: Equations 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Same shape."""
        flat = features.flatten(2)
        attention = (flat @ flat.mT).softmax(dim=-1)
        return self.beta * (attention @ flat).reshape(features.shape) + features


class DANetHead(nn.Module):
    """Both attentions side by side on the backbone's features, summed (Section 3.4), then class logits.

    Args:
        in_channels: of the backbone's features.
        num_classes: of the logits.
        channels: that attention works on.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int) -> None:
        super().__init__()
        self.position = nn.Sequential(
            _convolution(in_channels, channels), PositionAttention(channels), _convolution(channels, channels)
        )
        self.channel = nn.Sequential(
            _convolution(in_channels, channels), ChannelAttention(), _convolution(channels, channels)
        )
        self.classify = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(channels, num_classes, 1))

    def forward(
        self, features: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Logits at the resolution of the features."""
        return self.classify(self.position(features) + self.channel(features))


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )
