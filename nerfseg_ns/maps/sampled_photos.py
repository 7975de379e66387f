"""Colors of photos at places in pixels."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.data.dataset import LabelledDataset

KEPT_BYTES = 600 * 2**20
"""Of decoded photos."""


class SampledPhotos:
    """Photos that are asked for colors again and again; those that were asked last are kept in memory.

    Args:
        dataset: the photos.
    """

    def __init__(self, dataset: LabelledDataset) -> None:
        self.dataset = dataset
        self._kept: OrderedDict[int, UInt8[ndarray, "height width 3"]] = OrderedDict()
        self._kept_bytes = 0

    def sample(self, view: int, pixels: Float[Tensor, "points 2"]) -> Float[Tensor, "points 3"]:
        """Colors, 0 to 1, by bilinear interpolation.

        Args:
            view: index of the photo.
            pixels: columns and rows; 0.5 is the middle of the first pixel.
        """
        photo = torch.from_numpy(self._photo(view))
        height, width = photo.shape[:2]
        x, y = pixels[:, 0] - 0.5, pixels[:, 1] - 0.5
        left, top = x.floor().long().clamp(0, max(0, width - 2)), y.floor().long().clamp(0, max(0, height - 2))
        across, down = (x - left).clamp(0, 1)[:, None], (y - top).clamp(0, 1)[:, None]
        right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
        above = torch.lerp(photo[top, left].float(), photo[top, right].float(), across)
        below = torch.lerp(photo[bottom, left].float(), photo[bottom, right].float(), across)
        return torch.lerp(above, below, down) / 255

    def _photo(self, view: int) -> UInt8[ndarray, "height width 3"]:
        if view in self._kept:
            self._kept.move_to_end(view)
            return self._kept[view]
        photo = np.ascontiguousarray(self.dataset.get_numpy_image(view)[..., :3])
        self._kept[view] = photo
        self._kept_bytes += photo.nbytes
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return photo
