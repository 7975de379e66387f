"""The networks: photos in, class logits of the same size out."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from monai.networks.nets import BasicUNet
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from nerfseg_ns.compare.cnn.backbone import dilated_resnet
from nerfseg_ns.compare.cnn.config import CNNConfig, DilatedConfig
from nerfseg_ns.compare.cnn.danet import DANetHead
from nerfseg_ns.compare.cnn.feature_pyramid import PyramidNetwork


class DilatedNetwork(nn.Module):
    """A dilated backbone, a head on its features, and logits enlarged to the photo's size.

    Args:
        backbone: makes features of images.
        head: makes logits of its features.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Class logits of normalised images."""
        logits = self.head(self.backbone(images))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def build_network(name: str, num_classes: int, config: CNNConfig) -> nn.Module:
    """A network with random weights, but for the encoder of the feature pyramid network.

    Args:
        name: `unet`, `danet`, `deeplabv3` or `fpn`.
        num_classes: of the scene.
        config: settings.

    Returns:
        A module from normalised images [batch, 3, height, width] to logits [batch, classes, height, width], for any
        height and width of 32 or more.
    """
    if name == "unet":
        norm = ("instance", {"affine": True})  # of all norms the one that learns best from batches of two
        return BasicUNet(2, 3, num_classes, config.unet.features, act="relu", norm=norm)
    if name == "fpn":
        return PyramidNetwork(num_classes, config.pyramid.channels)
    backbone, channels = dilated_resnet(config.dilated)
    if name == "danet":
        return DilatedNetwork(backbone, DANetHead(channels, num_classes, config.dilated.head_channels))
    return DilatedNetwork(backbone, deeplab_head(channels, num_classes, config.dilated))


def deeplab_head(in_channels: int, num_classes: int, config: DilatedConfig) -> nn.Sequential:
    """torchvision's DeepLabHead, whose pyramid and last convolution have fewer channels than its fixed 256."""
    channels = config.head_channels
    return nn.Sequential(
        ASPP(in_channels, config.atrous_rates, channels),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, num_classes, 1),
    )
