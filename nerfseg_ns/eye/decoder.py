"""The eye's classifier: a small network over all feature maps of an image, from coarse to fine.

Each level adds what it knows to what the coarser ones have found, as in a feature pyramid network (Lin et al., CVPR
2017) or U-Net. Levels are narrower the finer they are: most of the work would be there. A classifier of single pixels
has the same features, but no neighbours: thin and small things blur.
"""

from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nerfseg_ns.eye.backbone import Backbone

WIDTHS = {2: 16, 4: 32}
"""Channels of a level by its stride; coarser ones have `WIDEST`."""
WIDEST = 64
DROPOUT = 0.2
"""Of whole feature maps."""


class PyramidDecoder(nn.Module):
    """From feature maps to class logits in the finest map's resolution.

    Args:
        backbone: whose maps it is for.
        num_classes: number of classes.
    """

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.channels = list(backbone.channels)
        widths = [WIDTHS.get(stride, WIDEST) for stride in backbone.strides]
        self.lateral = nn.ModuleList([nn.Conv2d(count, width, 1) for count, width in zip(self.channels, widths)])
        self.downward = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for fine, coarse in zip(widths, widths[1:])])
        self.smooth = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for width in widths])
        self.last = nn.Conv2d(widths[0], num_classes, 1)
        self.register_buffer("mean", torch.zeros(sum(self.channels)))
        self.register_buffer("deviation", torch.ones(sum(self.channels)))

    def reset(self, mean: Float[Tensor, "channels"], deviation: Float[Tensor, "channels"]) -> None:
        """Unlearns everything.

        Args:
            mean: of the features of all maps; what follows after them is not read.
            deviation: likewise.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()
        self.mean.copy_(mean[: len(self.mean)])
        self.deviation.copy_(deviation[: len(self.mean)])

    def forward(
        self, maps: Sequence[Float[Tensor, "batch channels rows columns"]]
    ) -> Float[Tensor, "batch classes finest_rows finest_columns"]:
        """Logits of the cells of the finest map.

        Args:
            maps: fine to coarse.
        """
        found = None
        for level in reversed(range(len(maps))):
            own = F.dropout2d(self._scaled(maps, level), DROPOUT, self.training)
            total = self.lateral[level](own)
            if found is not None:
                coarse = self.downward[level](found)
                total = total + F.interpolate(coarse, size=total.shape[-2:], mode="bilinear")
            total = total.relu()
            found = (self.smooth[level](total) + total).relu()
        return self.last(found)

    def _scaled(self, maps: Sequence[Tensor], level: int) -> Tensor:
        mean, deviation = (values.split(self.channels)[level][:, None, None] for values in (self.mean, self.deviation))
        return (maps[level] - mean) / deviation
