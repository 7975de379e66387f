"""Trains a network on crops of photos."""

from __future__ import annotations

import math
from typing import List, Optional, Sequence, Tuple

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, RandomSampler

from nerfseg_ns.compare.cnn.augmentation import Augmentation
from nerfseg_ns.compare.cnn.config import CNNConfig
from nerfseg_ns.compare.cnn.feature_pyramid import parameter_groups
from nerfseg_ns.compare.cnn.inference import normalise
from nerfseg_ns.compare.cnn.loss import class_weights, segmentation_loss
from nerfseg_ns.compare.cnn.photos import TrainingPhoto

Crops = Tuple[UInt8[Tensor, "batch 3 rows columns"], UInt8[Tensor, "batch rows columns"]]


class Training:
    """A network, being trained.

    Args:
        network: untrained, on the photos' device; it is trained in place.
        photos: to learn from.
        num_classes: of the scene.
        config: settings.
        window: height and width of the crops, pixels.
        epochs: over which the learning rate falls to zero; None to keep it, where the end is not known yet.
    """

    def __init__(
        self,
        network: nn.Module,
        photos: Sequence[TrainingPhoto],
        num_classes: int,
        config: CNNConfig,
        window: Tuple[int, int],
        epochs: Optional[int] = None,
    ) -> None:
        self.network = network
        averaging = get_ema_multi_avg_fn(config.ema_decay)
        self._average = AveragedModel(network, multi_avg_fn=averaging, use_buffers=True)
        self._batches = batches(photos, config, window)
        self._weights = class_weights(photos, num_classes, config.class_balance)
        self._optimizer = torch.optim.AdamW(parameter_groups(network, config), weight_decay=config.weight_decay)
        steps = None if epochs is None else epochs * len(self._batches)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: rate_factor(step, config.warmup_steps, steps)
        )

    @property
    def averaged(self) -> nn.Module:
        """The moving average of the network, which predicts."""
        return self._average.module

    def run_epoch(self) -> None:
        """Takes the steps of an epoch."""
        self.network.train()
        for images, labels in self._batches:
            loss = segmentation_loss(self.network(normalise(images)), labels, self._weights)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
            self._average.update_parameters(self.network)


def rate_factor(step: int, warmup: int, steps: Optional[int]) -> float:
    """Factor of the learning rate: rises linearly, then stays, or falls to zero along a cosine by the last step."""
    rise = min(1.0, (step + 1) / warmup)
    return rise if steps is None else rise * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2


def batches(photos: Sequence[TrainingPhoto], config: CNNConfig, window: Tuple[int, int]) -> DataLoader:
    """The steps of an epoch: photos take turns, each time with another crop.

    Args:
        photos: to learn from.
        config: settings.
        window: height and width of the crops, pixels.
    """
    augment = Augmentation(config, window)

    def collate(chosen: List[TrainingPhoto]) -> Crops:
        images, labels = zip(*map(augment, chosen), strict=True)
        return torch.stack(images), torch.stack(labels)

    covering = sum(math.prod(map(_windows, photo.labels.shape, window)) for photo in photos)
    steps = math.ceil(max(covering, config.epoch_crops) / config.batch_size)
    sampler = RandomSampler(photos, num_samples=steps * config.batch_size)
    return DataLoader(photos, config.batch_size, sampler=sampler, collate_fn=collate)


def _windows(side: int, window: int) -> int:
    """Windows side by side that cover a side."""
    return math.ceil(side / window)
