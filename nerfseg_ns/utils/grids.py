"""Looking up voxel grids."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def sample_voxels(
    grid: Float[Tensor, "1 channels depth height width"], positions: Float[Tensor, "points 3"]
) -> Float[Tensor, "points channels"]:
    """Values of a grid at positions in [-1, 1]^3 (x, y, z), interpolated between its corners; at the border beyond.

    On a CPU torch gives each entry of the batch to one thread, so without gradients the points are dealt out. With them
    every entry would have a whole grid of gradients.
    """
    parts = torch.get_num_threads() if grid.device.type == "cpu" and not torch.is_grad_enabled() else 1
    count = len(positions)
    if count % parts:
        parts = 1
    flat = positions.view(parts, 1, 1, count // parts, 3)
    found = F.grid_sample(grid.expand(parts, -1, -1, -1, -1), flat, align_corners=True, padding_mode="border")
    return found[:, :, 0, 0].transpose(1, 2).reshape(count, grid.shape[1])
