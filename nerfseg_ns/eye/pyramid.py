"""Feature maps of an image, and reading them at pixels.

Letters: h, w: of the image; c: channels of all maps and of the surroundings, side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.eye.backbone import Backbone

SURROUNDINGS = 5
"""Cells of the coarsest map, both ways, whose mean is one more map: what kind of place it is."""


@dataclass
class Pyramid:
    """Feature maps of one image."""

    maps: List[Float[Tensor, "1 channels rows columns"]]
    """The backbone's, fine to coarse."""
    size: Tuple[int, int]
    """Height and width that the maps cover: the image's, padded to whole cells."""

    @classmethod
    @torch.no_grad()
    def of(cls, backbone: Backbone, image: Float[Tensor, "3 h w"]) -> Pyramid:
        """The maps of an image with colors 0 to 1."""
        mean, std = (image.new_tensor(values)[:, None, None] for values in (backbone.mean, backbone.std))
        height, width = image.shape[1:]
        padding = (0, -width % backbone.stride, 0, -height % backbone.stride)
        padded = F.pad(((image - mean) / std)[None], padding, mode="replicate")
        maps = backbone.network(padded.contiguous(memory_format=torch.channels_last))
        return cls(maps, (padded.shape[2], padded.shape[3]))

    def at(self, rows: Float[Tensor, "pixels"], columns: Float[Tensor, "pixels"]) -> Float[Tensor, "pixels c"]:
        """All maps and the surroundings at pixels, bilinearly between their cells.

        Args:
            rows: 0 is the middle of the first row of pixels.
            columns: likewise.
        """
        grid = self._grid(rows, columns)[None, None]
        coarsest = self.maps[-1].float()
        around = F.avg_pool2d(coarsest, SURROUNDINGS, 1, SURROUNDINGS // 2, count_include_pad=False)
        return torch.cat([_read(values, grid)[0, :, 0].T for values in [*self.maps, around]], dim=1)

    def lattice(
        self, values: Float[Tensor, "1 channels a b"], rows: Float[Tensor, "r"], columns: Float[Tensor, "k"]
    ) -> Float[Tensor, "channels r k"]:
        """A map of the image, such as what was made of its maps, at a lattice of pixels."""
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        return _read(values, self._grid(grid[..., 1], grid[..., 0])[None])[0]

    @property
    def stride(self) -> int:
        """Pixels, both ways, that a cell of the coarsest map stands for."""
        return self.size[0] // self.maps[-1].shape[2]

    def half(self) -> Pyramid:
        """The same in half precision, to be kept."""
        return Pyramid([values.half() for values in self.maps], self.size)

    def _grid(self, rows: Tensor, columns: Tensor) -> Float[Tensor, "*pixels 2"]:
        """Pixels as `grid_sample` wants them."""
        return torch.stack([(columns + 0.5) / self.size[1] * 2 - 1, (rows + 0.5) / self.size[0] * 2 - 1], dim=-1)


def _read(values: Float[Tensor, "1 channels r k"], grid: Float[Tensor, "1 a b 2"]) -> Float[Tensor, "1 channels a b"]:
    return F.grid_sample(values.float(), grid, padding_mode="border", align_corners=False)
