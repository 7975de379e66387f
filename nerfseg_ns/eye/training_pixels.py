"""Labelled pixels as the eye sees them in many copies of their photo: turned, mirrored, larger, smaller, recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Iterator, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nerfseg_ns.eye.backbone import Backbone
from nerfseg_ns.eye.config import EyeConfig
from nerfseg_ns.eye.pyramid import Pyramid
from nerfseg_ns.eye.turns import TURNS, turn
from nerfseg_ns.labels.classes import IGNORE_INDEX

FOLDS = 2
"""Parts of the labelled area; what is learnt on one is tried on the other."""
TILES = 6
"""Tiles of a photo, both ways, that belong to the parts in turn, as the fields of a chessboard."""


@dataclass
class SeenPixels:
    """Labelled pixels with their features."""

    features: Float[Tensor, "pixels channels"]
    labels: Int[Tensor, "pixels"]
    """Class indices."""
    folds: Int[Tensor, "pixels"]
    """Part of the labelled area that each lies in."""

    @classmethod
    def join(cls, parts: Sequence[SeenPixels]) -> SeenPixels:
        """All of them as one."""
        columns = zip(*((part.features, part.labels, part.folds) for part in parts))
        return cls(*(torch.cat(column) for column in columns))

    def __len__(self) -> int:
        return len(self.labels)


def see_copies(
    backbone: Backbone,
    config: EyeConfig,
    image: Float[Tensor, "3 height width"],
    labels: UInt8[Tensor, "height width"],
    generator: torch.Generator,
    photos: int = 1,
) -> Iterator[SeenPixels]:
    """The labelled pixels of each copy of a photo, one copy after the other.

    Args:
        backbone: that sees them.
        config: how many.
        image: colours 0 to 1, in the size that the backbone is to see.
        labels: class indices of its pixels.
        generator: of all that is random.
        photos: that share the most copies and the most pixels that the config allows.
    """
    ways = list(product(range(TURNS), config.scales))
    order = torch.randperm(len(ways), generator=generator).tolist()[: max(2, config.max_copies // photos)]
    classes = max(1, len(labels[labels != IGNORE_INDEX].unique()))
    most = min(config.pixels_per_class, max(1, config.max_pixels // (photos * len(order) * classes)))
    folds = _chessboard(labels.shape).to(labels.device)
    for number, scale in (ways[position] for position in sorted(order)):
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        copy = F.interpolate(image[None], size=size, mode="bicubic", antialias=scale < 1)[0].clamp(0, 1)
        own = torch.stack([labels, folds])[None].float()
        own = turn(F.interpolate(own, size=size, mode="nearest-exact")[0].long(), number)
        chosen = choose_pixels(own[0], most, generator)
        pyramid = Pyramid.of(backbone, recolour(turn(copy, number), generator))
        rows, columns = chosen.T
        features = pyramid.at(rows.float(), columns.float())
        yield SeenPixels(features, own[0, rows, columns], own[1, rows, columns])


def choose_pixels(
    labels: Int[Tensor, "height width"], most: int, generator: torch.Generator
) -> Int[Tensor, "pixels 2"]:
    """At most so many random pixels of each class, as rows and columns."""
    chosen: List[Tensor] = []
    for index in labels.unique().tolist():
        if index != IGNORE_INDEX:
            places = (labels == index).nonzero()
            order = torch.randperm(len(places), generator=generator)[:most]
            chosen.append(places[order.to(places.device)])
    return torch.cat(chosen) if chosen else torch.empty(0, 2, dtype=torch.long, device=labels.device)


def recolour(image: Float[Tensor, "3 height width"], generator: torch.Generator) -> Float[Tensor, "3 height width"]:
    """The image as another light or another exposure would have it: other gain, contrast, offset and white balance."""

    def between(limit: float, *shape: int) -> Tensor:
        return (limit * (2 * torch.rand(shape, generator=generator) - 1)).to(image.device)

    middle = 0.5
    gain = 1 + between(0.2) + between(0.06, 3, 1, 1)
    return ((image - middle) * (1 + between(0.2)) + middle) * gain + between(0.08)


def _chessboard(shape: Tuple[int, int]) -> UInt8[Tensor, "height width"]:
    rows, columns = (torch.arange(side) * TILES // side for side in shape)
    return ((rows[:, None] + columns) % FOLDS).byte()
