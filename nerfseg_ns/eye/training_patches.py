"""What a step of the eye's classifier learns from: patches of the copies of photos, all classes alike."""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.eye.copies import SeenCopy
from nerfseg_ns.eye.training_pixels import choose_pixels
from nerfseg_ns.labels.classes import IGNORE_INDEX

PATCH = 256
"""Pixels, both ways, of a patch."""
MOST_PLACES = 4096
"""Of a class in a copy, around which patches are drawn."""

Patch = Tuple[List[Float[Tensor, "1 channels rows columns"]], Int[Tensor, "rows columns"]]
"""Feature maps, and the labels of the finest map's cells."""


class TrainingPatches:
    """Draws patches around random pixels of a random class.

    Args:
        copies: of labelled photos, with at least one labelled pixel.
        num_classes: number of classes.
        generator: of all that is random.
    """

    def __init__(self, copies: Sequence[SeenCopy], num_classes: int, generator: torch.Generator) -> None:
        self.generator = generator
        counts = [torch.bincount(copy.labels.flatten().cpu().long(), minlength=256) for copy in copies]
        self.counts = torch.stack(counts).sum(dim=0)[:num_classes]
        self.shown = _find_classes(copies, generator)
        self.classes = sorted(self.shown)

    @property
    def weights(self) -> Float[Tensor, "classes"]:
        """What a pixel of each class counts: less the more pixels the class has, 1 on the mean over the classes."""
        weights = torch.where(self.counts > 0, self.counts.clamp(min=1) ** -0.5, torch.zeros(()))
        return weights / weights[self.classes].mean()

    def draw(self, count: int) -> Patch:
        """So many patches as one batch."""
        patches = [self._patch() for _ in range(count)]
        maps = [torch.cat(level) for level in zip(*(maps for maps, _ in patches))]
        return maps, torch.stack([labels for _, labels in patches])

    def _patch(self) -> Patch:
        shown = self.shown[self.classes[self._below(len(self.classes))]]
        copy, places = shown[self._below(len(shown))]
        place = places[self._below(len(places))].tolist()
        return _cut(copy, [self._start(place[axis], copy, axis) for axis in range(2)])

    def _start(self, place: int, copy: SeenCopy, axis: int) -> int:
        """First cell of the coarsest map, along an axis, of a patch with a pixel in it, wherever in it that lies."""
        stride, cells = copy.pyramid.stride, copy.pyramid.maps[-1].shape[2 + axis]
        start = (place - self._below(PATCH)) // stride
        return max(0, min(start, cells - max(1, PATCH // stride)))

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))


def _find_classes(
    copies: Sequence[SeenCopy], generator: torch.Generator
) -> Dict[int, List[Tuple[SeenCopy, Int[Tensor, "places 2"]]]]:
    """The copies that show each class, and pixels of it: rows and columns."""
    found = defaultdict(list)
    for copy in copies:
        places = choose_pixels(copy.labels, MOST_PLACES, generator)
        classes = copy.labels[places[:, 0], places[:, 1]]
        for index in classes.unique().tolist():
            found[index].append((copy, places[classes == index].cpu()))
    return found


def _cut(copy: SeenCopy, starts: List[int]) -> Patch:
    """A patch of all maps from these cells of the coarsest on, filled up with nothing where the copy ends."""
    finest = copy.pyramid.maps[0].shape[2:]
    coarsest, stride = copy.pyramid.maps[-1].shape[2:], copy.pyramid.stride
    cells, maps = max(1, PATCH // stride), []
    for values in copy.pyramid.maps:
        times = values.shape[2] // coarsest[0]
        top, left = (start * times for start in starts)
        patch = values[:, :, top : top + cells * times, left : left + cells * times].float()
        missing = [cells * times - side for side in patch.shape[2:]]
        maps.append(F.pad(patch, (0, missing[1], 0, missing[0]), mode="replicate"))
    step = stride * coarsest[0] // finest[0]
    top, left = (start * stride for start in starts)
    labels = copy.labels[top : top + PATCH, left : left + PATCH].long()
    missing = [wanted * step - side for wanted, side in zip(maps[0].shape[2:], labels.shape)]
    return maps, _of_cells(F.pad(labels, (0, missing[1], 0, missing[0]), value=IGNORE_INDEX), step)


def _of_cells(labels: Int[Tensor, "height width"], step: int) -> Int[Tensor, "rows columns"]:
    """The label of each cell's middle; where that is none, the lowest in the cell, so that no click is lost."""
    middle = labels[step // 2 :: step, step // 2 :: step]
    lowest = -F.max_pool2d(-labels[None].float(), step)[0].long()  # IGNORE_INDEX is the highest
    return torch.where(middle == IGNORE_INDEX, lowest, middle)
