"""Copies of a labelled photo as the backbone sees them: turned, mirrored, larger, smaller, recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Iterator, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from nerfseg_ns.eye.backbone import Backbone
from nerfseg_ns.eye.config import EyeConfig
from nerfseg_ns.eye.pyramid import Pyramid
from nerfseg_ns.eye.turns import TURNS, turn

FOLDS = 2
"""Parts of the labelled area; what is learnt on one is tried on the other."""
TILES = 6
"""Tiles of a photo, both ways, that belong to the parts in turn, as the fields of a chessboard."""


@dataclass
class SeenCopy:
    """A copy of a labelled photo."""

    pyramid: Pyramid
    """Its feature maps, in half precision."""
    labels: UInt8[Tensor, "height width"]
    """Class indices of its pixels."""
    folds: UInt8[Tensor, "height width"]
    """Part of the labelled area that each pixel lies in."""


def see_copies(
    backbone: Backbone,
    config: EyeConfig,
    image: Float[Tensor, "3 height width"],
    labels: UInt8[Tensor, "height width"],
    generator: torch.Generator,
    photos: int = 1,
) -> Iterator[SeenCopy]:
    """The copies of a photo, one after the other.

    Args:
        backbone: that sees them.
        config: how many.
        image: colours 0 to 1, in the size that the backbone is to see.
        labels: class indices of its pixels.
        generator: of all that is random.
        photos: that share the most copies that the config allows.
    """
    ways = list(product(range(TURNS), config.scales))
    order = torch.randperm(len(ways), generator=generator).tolist()[: max(1, config.max_copies // photos)]
    folds = _chessboard(labels.shape).to(labels.device)
    for number, scale in (ways[position] for position in sorted(order)):
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        copy = F.interpolate(image[None], size=size, mode="bicubic", antialias=scale < 1)[0].clamp(0, 1)
        own = F.interpolate(torch.stack([labels, folds])[None].float(), size=size, mode="nearest-exact")[0].byte()
        pyramid = Pyramid.of(backbone, recolour(turn(copy, number), generator))
        yield SeenCopy(pyramid.half(), *turn(own, number))


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
