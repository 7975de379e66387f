"""A feature pyramid network (Lin et al., CVPR 2017) on an encoder that was trained on ImageNet, tuned as a whole.

The encoder is that of the trained eye, so that it shows what tuning it on the labelled photos gives.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from typing import Dict, List, Union

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from nerfseg_ns.compare.cnn.config import CNNConfig
from nerfseg_ns.compare.cnn.inference import MIDDLE, SPREAD
from nerfseg_ns.eye.backbone import load_backbone
from nerfseg_ns.eye.config import DEFAULT_BACKBONE


class PyramidNetwork(nn.Module):
    """Encoder, pyramid, and a head on the sum of the pyramid's levels (Kirillov et al., CVPR 2019).

    Args:
        num_classes: number of classes.
        channels: of the pyramid.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        backbone = load_backbone(DEFAULT_BACKBONE, "cpu")
        self.encoder = deepcopy(backbone.network).requires_grad_(True)
        self.pyramid = FeaturePyramidNetwork(list(backbone.channels), channels)
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, num_classes, 1),
        )
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(backbone, name))[:, None, None])

    def train(self, mode: bool = True) -> PyramidNetwork:
        """The encoder's batch norms keep what they know: a batch of two crops would tell them nothing."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Class logits of images as `inference.normalise` gives them."""
        colors = images * SPREAD + MIDDLE
        maps = self.encoder((colors - self.mean) / self.std)
        levels = list(self.pyramid(OrderedDict((str(place), values) for place, values in enumerate(maps))).values())
        enlarged = [F.interpolate(level, size=levels[0].shape[-2:], mode="bilinear") for level in levels]
        return F.interpolate(self.head(sum(enlarged)), size=images.shape[-2:], mode="bilinear")


def parameter_groups(network: nn.Module, config: CNNConfig) -> List[Dict[str, Union[List[nn.Parameter], float]]]:
    """The weights with their learning rates: those of an encoder that is trained already change more slowly."""
    encoder = list(network.encoder.parameters()) if isinstance(network, PyramidNetwork) else []
    known = set(encoder)
    others = [weights for weights in network.parameters() if weights not in known]
    groups = [{"params": others, "lr": config.learning_rate}]
    return groups + [{"params": encoder, "lr": config.learning_rate * config.encoder_rate}] if encoder else groups
