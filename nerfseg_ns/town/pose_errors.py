"""Poses as structure from motion leaves them: each photo turned and moved a little, for half a pixel or so in it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from nerfseg_ns.town.cameras import Poses, intrinsics
from nerfseg_ns.town.config import TownConfig

STREAM = 6
"""Of the seed's random numbers."""
PLACES = 7
"""Places along each side of a photo at which the error is counted."""
FARTHEST = 250.0
"""Metres; what a photo shows is nowhere farther away than that, as far as its error goes."""


def found_poses(flights: dict[str, Poses], config: TownConfig) -> dict[str, Poses]:
    """The poses to be written: the true ones, wrong by `pose_error` pixels in the median over all photos.

    Rotation and position have equal shares in the error, on average; errors of different photos are independent.
    """
    if config.faults.pose_error == 0:
        return flights
    camera, rng = intrinsics(config), np.random.default_rng([config.seed, STREAM])
    errors = {split: _draw(rng, poses, camera) for split, poses in flights.items()}
    first = {split: _disturbed(poses, errors[split]) for split, poses in flights.items()}
    moved = [reprojection_error(poses, first[split], camera).ravel() for split, poses in flights.items()]
    factor = config.faults.pose_error / float(np.median(np.concatenate(moved)))
    return {split: _disturbed(poses, factor * errors[split]) for split, poses in flights.items()}


def reprojection_error(true: Poses, found: Poses, camera: Float[ndarray, "4 4"]) -> Float[ndarray, "views places"]:
    """How far what a photo shows of the ground is from where the found pose sees it, pixels."""
    rays = _rays(camera)
    errors = []
    for pose, other in zip(true, found, strict=True):
        points = pose[:3, 3] + (_distances(pose, rays)[:, None] * rays) @ pose[:3, :3].T
        local = (points - other[:3, 3]) @ other[:3, :3]
        gap = (local / local[:, 2:] - rays / rays[:, 2:])[:, :2] * camera[0, 0]
        errors.append(np.linalg.norm(gap, axis=1))
    return np.array(errors)


def _draw(rng: np.random.Generator, poses: Poses, camera: Float[ndarray, "4 4"]) -> Float[ndarray, "views 6"]:
    """Rotation vectors (radians) and shifts (metres) for errors of about a pixel each."""
    far = np.array([np.median(_distances(pose, _rays(camera))) for pose in poses])
    errors = rng.standard_normal((len(poses), 6)) / camera[0, 0]
    errors[:, 3:] *= far[:, None]
    return errors


def _disturbed(poses: Poses, errors: Float[ndarray, "views 6"]) -> Poses:
    found = poses.copy()
    found[:, :3, :3] = poses[:, :3, :3] @ Rotation.from_rotvec(errors[:, :3]).as_matrix()
    found[:, :3, 3] += errors[:, 3:]
    return found


def _rays(camera: Float[ndarray, "4 4"]) -> Float[ndarray, "places 3"]:
    """Unit rays through places all over the photo, in the camera's axes."""
    side = (2 * np.arange(PLACES) + 1) / PLACES - 1
    u, v = np.meshgrid(side * camera[0, 2], side * camera[1, 2])
    rays = np.column_stack([u.ravel(), v.ravel(), np.full(u.size, camera[0, 0])])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _distances(pose: Float[ndarray, "4 4"], rays: Float[ndarray, "places 3"]) -> Float[ndarray, " places"]:
    """How far away the level ground is, metres."""
    fall = -(rays @ pose[:3, :3].T)[:, 2]
    return np.minimum(pose[2, 3] / np.maximum(fall, 1e-3), FARTHEST)
