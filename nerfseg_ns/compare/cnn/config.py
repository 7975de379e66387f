"""How the CNNs are trained. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Tuple


@dataclass
class UNetConfig:
    """The U-Net."""

    features: Tuple[int, int, int, int, int, int] = (32, 32, 64, 128, 256, 32)
    """Channels of the five levels, and of the last features at full resolution. Widen it where there are tens of
    labelled photos and a GPU."""


@dataclass
class DilatedConfig:
    """The dilated ResNet of DeepLabv3 and DANet, and their heads."""

    widths: Tuple[int, ...] = (32, 64)
    """Channels of the residual stages. Add stages and widen them where there are tens of labelled photos and a GPU."""
    blocks: int = 2
    """Residual blocks of a stage."""
    output_stride: int = 2
    """Pixels of the photo, both ways, that a position of the features stands for: 2, 4, 8 or 16. Raise it where the
    smallest things are many pixels wide: the features are fewer, and a step faster."""
    atrous_rates: Tuple[int, ...] = (6, 12, 18)
    """Dilations of DeepLabv3's atrous pyramid, in positions of the features."""
    head_channels: int = 64
    """Channels of the heads, a multiple of 8."""


@dataclass
class PyramidConfig:
    """The feature pyramid network."""

    channels: int = 64
    """Of the pyramid and its head, a multiple of 8."""


@dataclass
class CNNConfig:
    """Settings of a CNN that is trained on a few photos."""

    epochs: int = 42
    """Most epochs of each of the two trainings: the one that finds their number and the one that predicts."""
    epoch_crops: int = 32
    """Least crops of an epoch. Photos that take more crops to be covered once get as many."""
    batch_size: int = 2
    """Crops of a step. Small, since few photos make few steps. Raise it for tens of labelled photos on a GPU."""
    crop_size: int = 256
    """Most pixels of a crop's sides; smaller photos are taken whole. Prediction looks through windows of the same size.
    Raise it for large photos where a GPU has the memory."""
    learning_rate: float = 5e-3
    """Of AdamW, at its highest. Lower it if the held-out mIoU jumps about."""
    encoder_rate: float = 0.1
    """Learning rate of an encoder that is trained already, as a share of the others'. 0 freezes it."""
    weight_decay: float = 1e-2
    """Of AdamW. Raise it where the held-out mIoU falls long before the last epoch."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises to its highest. Raise it if the loss blows up at the start."""
    ema_decay: float = 0.98
    """Of the moving average of the weights, which predicts: it looks back some 1 / (1 - decay) steps. Lower it for
    trainings of a few hundred steps, raise it for those of many thousands."""
    class_balance: float = 0.5
    """A class weighs in the loss as its share of the labelled pixels to the power of minus this: 0 to count all pixels
    alike, 1 to count all classes alike."""
    rotation: float = 15.0
    """Most degrees that crops are turned by, either way. 180 for photos that look straight down."""
    vertical_flip: bool = False
    """Turns half of the crops upside down. For photos that look straight down."""
    min_scale: float = 0.7
    """Least enlargement of a crop. Lower it where the flight height of the photos differs."""
    max_scale: float = 1.6
    """Largest enlargement of a crop. Raise it where the flight height of the photos differs."""
    shift: float = 0.2
    """Most that a crop is moved by, as a fraction of the photo's sides."""
    color_jitter: float = 0.15
    """Most change of brightness, contrast and saturation, as a fraction. Raise it where the light changes."""
    held_out_share: float = 0.25
    """Of the labelled photos, or of the labelled pixels where fewer than three photos are labelled: what finds the
    number of epochs. 0 holds nothing out and trains for all epochs."""
    epochs_between_scores: int = 2
    """Epochs between two looks at what is held out. Raise it where many large photos are held out."""
    patience: int = 16
    """Epochs without a better held-out mIoU after which the search for the number of epochs ends."""
    min_confidence: float = 0.8
    """Least confidence of added label maps, 0 to 1; pixels below take no part in the loss."""
    unet: UNetConfig = field(default_factory=UNetConfig)
    """Of the U-Net."""
    dilated: DilatedConfig = field(default_factory=DilatedConfig)
    """Of DeepLabv3 and DANet."""
    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    """Of the feature pyramid network."""


CONFIGS: Dict[str, CNNConfig] = {
    "unet": CNNConfig(),
    "danet": CNNConfig(batch_size=4),
    "deeplabv3": CNNConfig(batch_size=4),
    "fpn": CNNConfig(
        epochs=32, held_out_share=0.0, crop_size=384, learning_rate=1e-3, rotation=180.0, vertical_flip=True
    ),
}
"""By the name of the network. The dilated networks normalise over the batch, which two crops are too few for. For the
one that is trained already, a part of two photos said to stop after six epochs: far too early."""
