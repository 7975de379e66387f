"""A picture of what dense matching has found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from nerfstudio.utils.colormaps import apply_float_colormap
from PIL import Image

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.geometry.dense.dense_depth import DenseView
from nerfseg_ns.geometry.dense.slab import Slab

PHOTOS = 6
"""In the picture, evenly chosen, two beside each other."""
UNKNOWN = 40
"""Grey of pixels of which nothing is known."""


def save_sheet(path: Path, found: Sequence[DenseView], slab: Slab) -> None:
    """Writes photos, each with its heights beside it: from blue for the lowest to red for the highest in all of them.

    Args:
        path: of the JPEG.
        found: at least one.
        slab: the ground that heights are counted from.
    """
    chosen = [found[index] for index in evenly_spaced_indices(len(found), PHOTOS)]
    known = np.concatenate([dense.heights[dense.trusted] for dense in chosen])
    low, high = np.quantile(known, [0.01, 0.99]) if len(known) else (slab.bottom, slab.top)
    tiles = [_tile(dense, low, max(high - low, 1e-9)) for dense in chosen]
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    sheet = np.full((-(-len(tiles) // 2) * height, min(len(tiles), 2) * width, 3), UNKNOWN, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = index // 2 * height, index % 2 * width
        sheet[row : row + tile.shape[0], column : column + tile.shape[1]] = tile
    write_whole(path, lambda beside: Image.fromarray(sheet).save(beside, quality=92))


def _tile(dense: DenseView, low: float, reach: float) -> UInt8[np.ndarray, "height width 3"]:
    grey = np.repeat(dense.view.grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    shares = torch.from_numpy(((dense.heights - low) / reach).clip(0, 1)).float()
    colors = (apply_float_colormap(shares[..., None], "turbo").numpy() * 255).astype(np.uint8)
    colors[~dense.trusted] = UNKNOWN
    return np.concatenate([grey, colors], axis=1)
