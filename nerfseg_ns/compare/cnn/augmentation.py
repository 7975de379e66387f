"""Crops of a photo and its labels, drawn at random and changed alike."""

from __future__ import annotations

from typing import Tuple

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from nerfseg_ns.compare.cnn.config import CNNConfig
from nerfseg_ns.compare.cnn.photos import TrainingPhoto
from nerfseg_ns.labels.classes import IGNORE_INDEX

GREY = 128
"""Color beyond the photo, where nothing is labelled."""


class Augmentation:
    """Turns, enlarges, moves, cuts, mirrors and recolors.

    Args:
        config: how much of it.
        size: height and width of the crops, pixels.
    """

    def __init__(self, config: CNNConfig, size: Tuple[int, int]) -> None:
        beyond = {tv_tensors.Image: GREY, tv_tensors.Mask: IGNORE_INDEX}
        jitter = config.color_jitter
        self._transform = v2.Compose(
            [
                v2.RandomAffine(
                    degrees=config.rotation,
                    translate=(config.shift, config.shift),
                    scale=(config.min_scale, config.max_scale),
                    interpolation=v2.InterpolationMode.BILINEAR,  # of masks it is nearest all the same
                    fill=beyond,
                ),
                v2.RandomCrop(size, pad_if_needed=True, fill=beyond),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(0.5 if config.vertical_flip else 0.0),
                v2.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter),
            ]
        )

    def __call__(self, photo: TrainingPhoto) -> Tuple[UInt8[Tensor, "3 rows columns"], UInt8[Tensor, "rows columns"]]:
        """A crop and its labels, IGNORE_INDEX beyond the photo. Draws from torch's generator."""
        image, labels = self._transform(tv_tensors.Image(photo.image), tv_tensors.Mask(photo.labels))
        return image.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor)
