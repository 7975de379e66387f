"""Color context: what the surroundings of a pixel in the image say about its class.

The color-radiance network (C) sees one pixel. This one sees a window of the photo in training, of the rendered view or
of the photo in use. It learns on its own, so that what the places of the training views give away cannot replace it.
"""

from dataclasses import dataclass, field
from typing import Iterator, Tuple, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from nerfseg_ns.core.older_runs import OlderConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.semantics.losses import label_loss

TILE = 512
"""Pixels, both ways, that are classified at once."""
DILATIONS = (1, 1, 2, 4)
"""Of the convolutions."""
REACH = sum(DILATIONS)
"""Pixels that a window reaches beyond its centre."""


@dataclass
class ColorContextConfig(OlderConfig, InstantiateConfig):
    """What the surroundings of a pixel add."""

    renamed_fields = {"crops": "patches", "crop_size": "patch_size"}

    _target: Type = field(default_factory=lambda: ColorContext)
    weight: float = 0.0
    """How much they count beside what the scene's geometry knows, which counts 1. 0 leaves them out, as in the paper; a
    half makes borders follow the image's. Lower it where classes look alike, where the light changes, or where views
    are rendered at other resolutions than the photos have: the window is 17 pixels wide in any of them."""
    width: int = 32
    """Channels. More for many labelled photos."""
    patches: int = 2
    """Pieces of labelled photos that a step of stage 2 learns from. More where very much is labelled."""
    patch_size: int = 64
    """Pixels, both ways, of a patch. Larger ones take longer, and hold more of one photo and less of others."""
    rendered_share: float = 0.5
    """Share of the patches, 0 to 1, that have the colors which stage 1 renders there: what views that nobody
    photographed look like. They matter most where stage 1 is rough. 0 for labels of photographed views alone."""
    rendered_pixels: int = 262_144
    """Pixels of labelled photos that are rendered for it, once, when stage 2 begins. More where more is labelled, and
    the scene is rough; a million take some 20 seconds on two CPU cores."""
    label_smoothing: float = 0.1
    """As in the semantic stage."""
    class_balance: float = 0.5
    """As in the semantic stage. More than there: of what is rare, its few pixels have to say all."""


class ColorContext(nn.Module):
    """Dilated convolutions that see a window of 17 pixels, at full resolution: borders stay where they are.

    Args:
        config: how wide.
        num_classes: number of classes.

    Raises:
        UserError: a size is below 1, or the share is not within 0 to 1.
    """

    def __init__(self, config: ColorContextConfig, num_classes: int) -> None:
        super().__init__()
        if min(config.patches, config.patch_size, config.width) < 1:
            raise UserError("pipeline.model.color-context: patches, patch-size and width must be at least 1.")
        if not 0 <= config.rendered_share <= 1:
            raise UserError(f"pipeline.model.color-context.rendered-share is {config.rendered_share}, not 0 to 1.")
        self.config = config
        self.layers = nn.ModuleList(
            [_layer(config.width if i else 3, config.width, dilation) for i, dilation in enumerate(DILATIONS)]
        )
        self.dropout = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(3 * config.width, num_classes, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images classes height width"]:
        """Class logits of every pixel."""
        found, images = [], images.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        for layer in self.layers:
            images = layer(images)
            found.append(images)
        return self.head(self.dropout(torch.cat(found[1:], dim=1)))

    def get_loss(
        self, logits: Float[Tensor, "patches classes rows columns"], labels: Int[Tensor, "patches rows columns"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy over the labelled pixels."""
        flat = logits.movedim(1, -1).flatten(0, -2)
        return label_loss(flat, labels.flatten(), self.config.label_smoothing, self.config.class_balance)

    @torch.no_grad()
    def classify(self, image: Float[Tensor, "height width 3"]) -> Float[Tensor, "height width classes"]:
        """Logits of a whole image, in pieces that overlap, so that the features of one piece only are in memory."""
        batch = image.movedim(-1, 0)[None]
        rows = [
            torch.cat([self(batch[..., y, x])[0, :, inner_y, inner_x] for x, inner_x in _tiles(image.shape[1])], dim=2)
            for y, inner_y in _tiles(image.shape[0])
        ]
        return torch.cat(rows, dim=1).movedim(0, -1)


def _layer(channels: int, width: int, dilation: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


def _tiles(size: int) -> Iterator[Tuple[slice, slice]]:
    """Pieces of a side with what their windows reach beyond them, and where in these the pieces lie."""
    for start in range(0, size, TILE):
        end, before = min(size, start + TILE), max(0, start - REACH)
        yield slice(before, min(size, end + REACH)), slice(start - before, end - before)
