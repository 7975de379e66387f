"""The dilated ResNet that DeepLabv3 and DANet look at photos with."""

from __future__ import annotations

from typing import Tuple

from torch import nn
from torchvision.models.resnet import BasicBlock

from nerfseg_ns.compare.cnn.config import DilatedConfig


def dilated_resnet(config: DilatedConfig) -> Tuple[nn.Sequential, int]:
    """A ResNet of torchvision's residual blocks, narrower and finer than torchvision's whole networks.

    Those begin with a stride of 4 and end with one of 8 or more, at which the small things of a small photo are gone,
    and have ten to forty million weights for a handful of labelled photos. Here the stem halves the photo once; a stage
    that would pass the output stride is dilated instead.

    Args:
        config: widths, blocks and output stride.

    Returns:
        The network, and the channels of its features.
    """
    channels, stride, dilation = config.widths[0], 2, 1
    layers = [nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    for position, width in enumerate(config.widths):
        halve = position > 0 and stride < config.output_stride
        stage = _stage(channels, width, config.blocks, 2 if halve else 1)
        if position > 0 and not halve:
            dilation *= 2
        _dilate(stage, dilation)
        layers.append(stage)
        channels, stride = width, stride * (2 if halve else 1)
    return nn.Sequential(*layers), channels


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride > 1 or in_channels != channels:
        shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
    rest = [BasicBlock(channels, channels) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(in_channels, channels, stride, shortcut), *rest)


def _dilate(stage: nn.Sequential, dilation: int) -> None:
    """Spreads the 3 x 3 convolutions; torchvision's basic block takes no dilation."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            layer.dilation = layer.padding = (dilation, dilation)
