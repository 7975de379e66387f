"""Checks camera-to-world matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from nerfseg_ns.errors import UserError

CAMERA_RADIUS = 1 / 1.1
"""Distance of the farthest camera from the origin after scaling: NeRF++ keeps the same margin to the unit sphere."""


def rigid_pose(values: Any, where: str, tolerance: float, remedy: str) -> Float64[np.ndarray, "4 4"]:
    """A camera-to-world matrix that is rotation and translation.

    Args:
        values: 4 x 4 numbers, as they come from a file.
        where: the file, and the photo where it holds several, for messages.
        tolerance: by how much entries may be off; it depends on how many digits the file has.
        remedy: what is expected instead, for messages.

    Raises:
        UserError: another shape, numbers that are not finite, axes that are not orthonormal, or a mirror image.
    """
    try:
        matrix = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (4, 4):
        raise UserError(f"{where} is not a 4 x 4 matrix of numbers. {remedy}")
    if not np.isfinite(matrix).all():
        raise UserError(f"{where} holds numbers that are not finite. {remedy}")
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > tolerance:
        raise UserError(f"{where} is not a rigid pose: its last row is {matrix[3].tolist()}, not 0 0 0 1. {remedy}")
    rotation = matrix[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > tolerance:
        raise UserError(
            f"{where} is not a rigid pose: its axes are not of length 1 and at right angles (off by {error:.2g}). "
            f"Scale the camera positions only, never the 3 x 3 rotation. {remedy}"
        )
    if np.linalg.det(rotation) < 0:
        raise UserError(f"{where} is not a rigid pose: it mirrors (determinant -1). {remedy}")
    return matrix
