"""Copies of a labelled photo as the backbone sees them: turned by any angle, mirrored, larger, smaller, recolored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterator, Sequence, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from nerfseg_ns.eye.backbone import Backbone
from nerfseg_ns.eye.config import EyeConfig
from nerfseg_ns.eye.pyramid import Pyramid
from nerfseg_ns.labels.classes import IGNORE_INDEX

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
        image: colors 0 to 1, in the size that the backbone is to see.
        labels: class indices of its pixels.
        generator: of all that is random.
        photos: that share the most copies that the config allows.
    """
    tiles = _chessboard(labels.shape).to(labels.device)
    plane = torch.stack([labels, tiles])[None].float()
    for _ in range(max(1, min(config.copies, config.max_copies // photos))):
        scale = config.min_scale * (config.max_scale / config.min_scale) ** _random(generator)
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        grid = random_view(size, generator).to(image.device)
        copy = F.interpolate(image[None], size=size, mode="bicubic", antialias=scale < 1)
        copy = F.grid_sample(copy, grid, padding_mode="reflection", align_corners=False)[0].clamp(0, 1)
        own = F.grid_sample(plane, grid, mode="nearest", align_corners=False)[0].byte()
        own[0].masked_fill_((grid[0].abs() > 1).any(dim=-1), IGNORE_INDEX)
        yield SeenCopy(Pyramid.of(backbone, recolor(copy, generator)).half(), *own)


def random_view(size: Sequence[int], generator: torch.Generator) -> Float[Tensor, "1 height width 2"]:
    """Where the pixels of a copy lie in an image, as `grid_sample` wants it: turned about the middle by any angle, and
    every other one mirrored. Photos that look down have no upper side.

    Args:
        size: height and width of copy and image.
        generator: of angle and mirror.
    """
    height, width = size
    angle, mirror = 2 * math.pi * _random(generator), 1 if _random(generator) < 0.5 else -1
    rows, columns = (torch.arange(side) + 0.5 - side / 2 for side in size)
    down, right = torch.meshgrid(rows, columns, indexing="ij")
    x = mirror * (math.cos(angle) * right - math.sin(angle) * down)
    y = math.sin(angle) * right + math.cos(angle) * down
    return torch.stack([2 * x / width, 2 * y / height], dim=-1)[None]


def _random(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def recolor(image: Float[Tensor, "3 height width"], generator: torch.Generator) -> Float[Tensor, "3 height width"]:
    """The image as another light or another exposure would have it: other gain, contrast, offset and white balance."""

    def between(limit: float, *shape: int) -> Tensor:
        return (limit * (2 * torch.rand(shape, generator=generator) - 1)).to(image.device)

    middle = 0.5
    gain = 1 + between(0.2) + between(0.06, 3, 1, 1)
    return ((image - middle) * (1 + between(0.2)) + middle) * gain + between(0.08)


def _chessboard(shape: Tuple[int, int]) -> UInt8[Tensor, "height width"]:
    rows, columns = (torch.arange(side) * TILES // side for side in shape)
    return ((rows[:, None] + columns) % FOLDS).byte()
