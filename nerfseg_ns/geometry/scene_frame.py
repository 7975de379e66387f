"""The frame of an aerial scene: a slab of ground seen from above, normalised to the cube that the grids cover.

An aerial scene is a thin slab far below (or beside) the cameras. Sampling rays only where they cross the slab is what
makes a few samples a ray enough, and what keeps matter from growing in front of the lenses.
"""

from typing import Tuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

OUTER = 6.0
"""Reach of the frame sideways, in half-sizes of its core; what lies outside the core is contracted."""


class SceneFrame(nn.Module):
    """An oriented box around the scene: third axis up, the first two along the ground.

    In box coordinates the core of the scene is [-1, 1]^3. Sideways the frame goes on to 6 half-sizes, contracted as in
    mip-NeRF 360 (equation 10, with the maximum norm over the two ground axes), so that surroundings have their place.
    """

    rotation: Float[Tensor, "3 3"]
    centre: Float[Tensor, "3"]
    half_size: Float[Tensor, "3"]
    fitted: Bool[Tensor, ""]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rotation", torch.eye(3))
        self.register_buffer("centre", torch.zeros(3))
        self.register_buffer("half_size", torch.ones(3))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, points: Float[Tensor, "points 3"], origins: Float[Tensor, "cameras 3"]) -> None:
        """Lays the frame around the scene's points.

        Args:
            points: on the scene's surfaces, outliers allowed.
            origins: camera centres; they tell which side is up.
        """
        device = self.centre.device
        rotation = ground_rotation(points, origins)
        local = points @ rotation.T
        lower, upper = _robust_bounds(local)
        self.rotation.copy_(rotation.to(device))
        self.half_size.copy_(((upper - lower) / 2).to(device))
        self.centre.copy_((rotation.T @ ((upper + lower) / 2)).to(device))
        self.fitted.fill_(True)

    def to_box(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions in box coordinates, not contracted."""
        return (positions - self.centre) @ self.rotation.T / self.half_size

    def to_grid(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions in grid coordinates, [-1, 1]^3, with what lies beside the core contracted."""
        box = self.to_box(positions)
        ground, height = box[..., :2], box[..., 2:]
        norm = ground.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
        limit = 2.0 - 1.0 / OUTER
        return torch.cat([ground * (2.0 - 1.0 / norm) / norm / limit, height], dim=-1).clamp(-1.0, 1.0)

    def intersect(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> Tuple[Float[Tensor, "rays 1"], Float[Tensor, "rays 1"], Bool[Tensor, "rays 1"]]:
        """Where rays enter and leave the frame, and whether they leave through the ground of the core.

        Returns:
            Distances of entry and exit (equal where the ray misses the frame), and the mask.
        """
        origin = self.to_box(origins)
        direction = directions @ self.rotation.T / self.half_size
        direction = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
        bound = direction.new_tensor([OUTER, OUTER, 1.0])
        t0, t1 = (-bound - origin) / direction, (bound - origin) / direction
        near = torch.minimum(t0, t1).amax(dim=-1, keepdim=True).clamp(min=0.0)
        far = torch.maximum(t0, t1).amin(dim=-1, keepdim=True)
        far = torch.maximum(far, near)
        leave = origin + far * direction
        through_ground = (far > near) & (leave[..., 2:] < -0.999) & (leave[..., :2].abs().amax(-1, keepdim=True) < 1.0)
        return near, far, through_ground


def ground_rotation(points: Float[Tensor, "points 3"], origins: Float[Tensor, "cameras 3"]) -> Float[Tensor, "3 3"]:
    """Rotation into a frame whose third axis is up.

    Up is the direction in which the points spread least, turned towards the cameras; the world's z axis where the
    points are no slab (spread within a factor of two of each other). The first axis is the world's x axis (or y, where
    x is nearly up) laid into the ground.
    """
    centred = points - points.median(dim=0).values
    near = centred.norm(dim=-1) <= centred.norm(dim=-1).quantile(0.9)
    spread, axes = torch.linalg.eigh(torch.cov(centred[near].T))
    up = axes[:, 0] if spread[1] > 4 * spread[0] else torch.tensor([0.0, 0.0, 1.0])
    if (origins.mean(dim=0) - points.median(dim=0).values) @ up < 0:
        up = -up
    forward = torch.eye(3)[0 if up[0].abs() < 0.9 else 1]
    x = torch.nn.functional.normalize(forward - (forward @ up) * up, dim=0)
    return torch.stack([x, torch.linalg.cross(up, x), up])


def _robust_bounds(local: Float[Tensor, "points 3"]) -> Tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Bounds without outliers and with a margin: little below the ground, more above it for what no point saw."""
    quantiles = [(0.02, 0.98, 0.05, 0.05), (0.02, 0.98, 0.05, 0.05), (0.005, 0.995, 0.15, 0.25)]
    bounds = []
    for axis, (low, high, below, above) in enumerate(quantiles):
        lower, upper = local[:, axis].quantile(low), local[:, axis].quantile(high)
        size = upper - lower
        bounds.append(torch.stack([lower - below * size, upper + above * size]))
    lower, upper = torch.stack(bounds, dim=1)
    return lower, upper
