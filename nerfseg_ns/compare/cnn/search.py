"""Finds on held-out labels for how many epochs to train, then trains on all of them for as long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from torch import nn

from nerfseg_ns.compare.cnn.config import CNNConfig
from nerfseg_ns.compare.cnn.hold_out import hold_out
from nerfseg_ns.compare.cnn.inference import probabilities
from nerfseg_ns.compare.cnn.networks import build_network
from nerfseg_ns.compare.cnn.photos import TrainingPhoto
from nerfseg_ns.compare.cnn.training import Training
from nerfseg_ns.core.seeds import seed_everything
from nerfseg_ns.evaluation.scores import SegmentationScores

SIDE_MULTIPLE, SMALLEST_SIDE = 16, 32
"""Of windows: U-Net halves them four times, and its norm needs more than one position at the end."""


@dataclass
class Learnt:
    """What came of a training."""

    network: nn.Module
    """To predict with."""
    window: Tuple[int, int]
    """Height and width of the crops it was trained on, pixels."""
    epochs: int
    """That it was trained for."""
    held_out_miou: Optional[float]
    """The best of the search, on labels that the search did not learn from. None if nothing could be held out."""


@dataclass
class Learner:
    """A network's training from scratch.

    Args:
        name: of the network.
        names: of the classes.
        config: settings.
        seed: of weights, order and augmentation.
    """

    name: str
    names: Sequence[str]
    config: CNNConfig
    seed: int

    def learn(self, labelled: List[TrainingPhoto], added: List[TrainingPhoto]) -> Learnt:
        """Searches the number of epochs, then trains on everything.

        The search keeps its learning rate, so that each of its epochs is as good an end as any other; its averaged
        weights stand in for the fall of the rate, which the second training has.

        Args:
            labelled: labelled photos, a part of which the search holds out.
            added: photos with labels that come from elsewhere, which are only learnt from.
        """
        window = window_of([*labelled, *added], self.config.crop_size)
        rest, held_out = hold_out(labelled, self.config.held_out_share)
        epochs, miou = self.config.epochs, None
        if any(photo.is_labelled for photo in held_out):  # a stroke down one column cannot be parted
            epochs, miou = self._search([*rest, *added], held_out, window)
        training = self._training([*labelled, *added], window, epochs)
        for _ in range(epochs):
            training.run_epoch()
        return Learnt(training.averaged, window, epochs, miou)

    def _search(
        self, photos: List[TrainingPhoto], held_out: List[TrainingPhoto], window: Tuple[int, int]
    ) -> Tuple[int, float]:
        """The epoch with the best mIoU on what is held out, and that mIoU."""
        training = self._training(photos, window, None)
        best_epoch, best = 0, -math.inf
        for epoch in range(1, self.config.epochs + 1):
            training.run_epoch()
            if epoch % self.config.epochs_between_scores and epoch < self.config.epochs:
                continue
            score = self._miou(training.averaged, held_out, window)
            if score > best:
                best_epoch, best = epoch, score
            if epoch - best_epoch >= self.config.patience:
                break
        return best_epoch, best

    def _training(self, photos: List[TrainingPhoto], window: Tuple[int, int], epochs: Optional[int]) -> Training:
        seed_everything(self.seed)
        network = build_network(self.name, len(self.names), self.config).to(photos[0].image.device)
        return Training(network, photos, len(self.names), self.config, window, epochs)

    def _miou(self, network: nn.Module, photos: List[TrainingPhoto], window: Tuple[int, int]) -> float:
        scores = SegmentationScores(self.names)
        for photo in photos:
            scores.add("", probabilities(network, photo.image, window).argmax(dim=0), photo.labels)
        return scores.summary()["miou"]


def window_of(photos: Sequence[TrainingPhoto], most: int) -> Tuple[int, int]:
    """Height and width of crops: the largest photo's, rounded up to what the networks halve, or `most` if less."""
    largest = [max(photo.labels.shape[axis] for photo in photos) for axis in (0, 1)]
    height, width = (_window_side(min(side, most)) for side in largest)
    return height, width


def _window_side(side: int) -> int:
    return max(SMALLEST_SIDE, SIDE_MULTIPLE * math.ceil(side / SIDE_MULTIPLE))
