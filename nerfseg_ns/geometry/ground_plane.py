"""Finds the up direction of an aerial scene, where the images' own up direction may say nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_MIN_POINTS = 100
"""Fewer sparse points than this do not tell where the ground is."""


def ground_rotation(
    poses: Float[Tensor, "photos 4 4"], points: Float[Tensor, "points 3"] | None
) -> Float[Tensor, "3 3"]:
    """The rotation that takes the scene's up direction to +z and leaves the x axis over its old direction.

    Up is the normal of the plane through the sparse points, on the side that the photos look from; without points it
    is the mean of the directions that the photos look away from, which is exact for photos straight down and for full
    orbits.

    Args:
        poses: camera-to-world, OpenGL axes (z backward).
        points: sparse points in the same axes as the poses; None if there are none.
    """
    backward = poses[:, :3, 2].mean(dim=0)
    up = backward
    if points is not None and len(points) >= _MIN_POINTS:
        normal = plane_normal(points)
        up = normal if float(normal @ backward) >= 0 else -normal
    if float(up.norm()) < 1e-3:  # cameras that look in all directions: nothing tells
        return torch.eye(3)
    return rotation_upright(up)


def rotation_upright(up: Float[Tensor, " 3"]) -> Float[Tensor, "3 3"]:
    """The rotation that takes `up` to +z and lays the x axis (or y, where x is nearly up) into the ground."""
    z = up / up.norm()
    axis = torch.eye(3)[0 if abs(float(z[0])) < 0.9 else 1]
    x = axis - (axis @ z) * z
    x = x / x.norm()
    return torch.stack([x, torch.linalg.cross(z, x), z])


def plane_normal(points: Float[Tensor, "points 3"], rounds: int = 5) -> Float[Tensor, " 3"]:
    """Unit normal of the plane that most points lie near: least squares, repeated without the farthest points."""
    points = points.double()
    kept = points
    for _ in range(rounds):
        centre = kept.mean(dim=0)
        normal = torch.linalg.eigh((kept - centre).T @ (kept - centre))[1][:, 0]
        distance = ((points - centre) @ normal).abs()
        kept = points[distance <= 3 * distance.median() + 1e-9]
    return normal.float()
