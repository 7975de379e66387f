"""The eye's classifiers: small perceptrons on the features of a pixel, side by side."""

from __future__ import annotations

import math
from typing import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfseg_ns.eye.config import EyeConfig

DROPOUT = 0.2
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
LEAST_DEVIATION = 1e-3
"""Of a feature, so that one that never changes stays finite."""


class PixelHeads(nn.Module):
    """Several perceptrons with one hidden layer, over the same features.

    Args:
        channels: features of a pixel.
        hidden: width of each perceptron.
        heads: number of them.
        num_classes: number of classes.
    """

    def __init__(self, channels: int, hidden: int, heads: int, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, heads * hidden)
        self.weight = nn.Parameter(torch.randn(heads, hidden, num_classes) / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.zeros(heads, 1, num_classes))

    def forward(self, features: Float[Tensor, "pixels channels"]) -> Float[Tensor, "heads pixels classes"]:
        """Logits of each perceptron."""
        return self.classify(self.first(F.dropout(features, DROPOUT, self.training)))

    def classify(self, hidden: Float[Tensor, "pixels width"]) -> Float[Tensor, "heads pixels classes"]:
        """Logits from what the first layers give, side by side."""
        active = F.dropout(hidden.relu(), DROPOUT, self.training)
        shares = active.unflatten(1, (len(self.weight), -1)).transpose(0, 1)
        return torch.baddbmm(self.bias, shares, self.weight)

    def learn(
        self, features: Float[Tensor, "pixels channels"], labels: Int[Tensor, "pixels"], config: EyeConfig, seed: int
    ) -> None:
        """Learns from labelled pixels, anew.

        Afterwards it takes features as they come: what brought them to one scale is within the first layer.

        Args:
            features: of the pixels.
            labels: class indices.
            config: how long.
            seed: of all that is random.
        """
        mean, std = features.mean(dim=0), features.std(dim=0, correction=0) + LEAST_DEVIATION
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            self._reset()
            self.requires_grad_(True).train()
            self._descend(lambda chosen: (features[chosen] - mean) / std, labels, config)
        self.requires_grad_(False).eval()
        self.first.weight.div_(std)
        self.first.bias.sub_(self.first.weight @ mean)

    def _reset(self) -> None:
        self.first.reset_parameters()
        with torch.no_grad():
            self.weight.normal_(std=1 / math.sqrt(self.weight.shape[1]))
            self.bias.zero_()

    def _descend(self, read: Callable[[Tensor], Tensor], labels: Tensor, config: EyeConfig) -> None:
        """Steps on random pixels, whose features are brought to one scale as they are read: no second copy of all."""
        optimizer = torch.optim.AdamW(self.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for step in range(config.steps):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / config.steps)) / 2
            batch = torch.randint(len(labels), (config.batch_size,)).to(labels.device)
            logits = self(read(batch))
            loss = F.cross_entropy(logits.flatten(0, 1), labels[batch].repeat(len(logits)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
