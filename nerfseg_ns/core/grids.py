"""Looking up grids of two and three dimensions.

On a CPU torch gives each entry of the batch to one thread, and a grid is a batch of one. Here the threads share the
work: the points without gradients, the channels with them. A share of the points would need a whole grid of gradients.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def interpolate(grid: Float[Tensor, "channels *cells"], positions: Float[Tensor, "points dims"]) -> Tensor:
    """Values of a grid at positions in [-1, 1], interpolated between its corners; at the border beyond.

    Args:
        grid: of two or three dimensions, the last one first in the positions.
        positions: the points.

    Returns:
        A tensor [channels, points].
    """
    threads = torch.get_num_threads() if grid.device.type == "cpu" else 1
    (count, dims), channels = positions.shape, len(grid)
    ones = [1] * (dims - 1)
    if torch.is_grad_enabled():
        shares = max(share for share in range(1, threads + 1) if channels % share == 0)
        batch = grid.unflatten(0, (shares, -1))
        return _sample(batch, positions.expand(shares, *ones, -1, -1)).flatten(0, 1)
    shares = threads if count % threads == 0 else 1
    found = _sample(grid.expand(shares, *grid.shape), positions.view(shares, *ones, count // shares, dims))
    return found.transpose(0, 1).reshape(channels, count)


def _sample(grids: Tensor, positions: Tensor) -> Float[Tensor, "batch channels points"]:
    return F.grid_sample(grids, positions, align_corners=True, padding_mode="border").flatten(2)


def sample_voxels(
    grid: Float[Tensor, "1 channels depth height width"], positions: Float[Tensor, "points 3"]
) -> Float[Tensor, "points channels"]:
    """Values of voxels at positions in [-1, 1]^3 (x, y, z); see `interpolate`."""
    return interpolate(grid[0], positions).T.contiguous()
