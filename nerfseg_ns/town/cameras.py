"""Flight paths: where the cameras are and where they look, per split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from nerfseg_ns.town.config import TownConfig

METRES_PER_UNIT = 170.0
"""Metres per unit of the written scene: every camera then lies within 0.9 units of the origin."""
RINGS = ((92.0, 58.0), (96.0, 76.0), (86.0, 94.0))
"""Radius and altitude of the orbits in metres."""
SPLITS = ("train", "validation", "test")
SHIFTS = {"train": 0.0, "validation": 0.31, "test": 0.57}
"""By how much of a step a split's views are turned against the training views."""

Pose = Float[ndarray, "4 4"]
Poses = Float[ndarray, "views 4 4"]


def plan_cameras(config: TownConfig) -> dict[str, Poses]:
    """Camera-to-world matrices in metres (OpenCV axes: x right, y down, z forward) of every split.

    The three splits share one distribution of viewpoints; validation and test views lie between the training views.
    """
    counts = {"train": config.train_views, "validation": config.validation_views, "test": config.test_views}
    poses = {}
    for index, split in enumerate(SPLITS):
        rng = np.random.default_rng([config.seed, 2, index])
        count = counts[split]
        nadirs = {"orbit": 0, "nadir": count, "mixed": count // 2}[config.views]
        strips = max(counts["train"] // (2 if config.views == "mixed" else 1), 1)
        flights = [_orbit(rng, count - nadirs, split), _nadir(rng, nadirs, strips, config.field_of_view, split)]
        poses[split] = np.concatenate(flights)
    return poses


def intrinsics(config: TownConfig) -> Float[ndarray, "4 4"]:
    """Pinhole matrix in pixels, the principal point in the image's middle."""
    focal = 0.5 * config.image_size / np.tan(np.radians(config.field_of_view) / 2)
    matrix = np.diag([focal, focal, 1.0, 1.0])
    matrix[:2, 2] = config.image_size / 2
    return matrix


def lens_distortion(config: TownConfig) -> float:
    """Coefficient k of the lens: what the pinhole matrix says is at x (1 + k |x|^2) focal lengths, it shows at x."""
    corner = np.sqrt(2) * np.tan(np.radians(config.field_of_view) / 2)
    error = config.faults.lens_error if config.real else 0.0
    return float(error / intrinsics(config)[0, 0] / corner**3)


def look_at(eye: Float[ndarray, " 3"], target: Float[ndarray, " 3"], up: Float[ndarray, " 3"]) -> Float[ndarray, "4 4"]:
    """Camera-to-world matrix of a camera at `eye` that looks at `target`, with OpenCV axes."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, np.cross(forward, right), forward, eye])
    return pose


def _orbit(rng: np.random.Generator, count: int, split: str) -> Poses:
    """Views on the rings in turn, around the town, with jitter; training views stay near their ring."""
    poses = []
    turn = 2 * np.pi / max(count, 1)
    for index in range(count):
        azimuth = turn * (index + SHIFTS[split] + rng.uniform(-0.2, 0.2))
        ring = index % len(RINGS) if split == "train" else rng.uniform(0, len(RINGS) - 1)
        radius, altitude = (np.interp(ring, range(len(RINGS)), values) for values in zip(*RINGS, strict=True))
        radius, altitude = radius + rng.uniform(-5, 5), altitude + rng.uniform(-4, 4)
        eye = np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), altitude])
        target = np.array([*rng.uniform(-10, 10, 2), rng.uniform(4, 16)])
        poses.append(look_at(eye, target, np.array([0.0, 0.0, 1.0])))
    return np.array(poses).reshape(-1, 4, 4)


def _nadir(rng: np.random.Generator, count: int, strips: int, field_of_view: float, split: str) -> Poses:
    """Boustrophedon strips over the town, looking down with a small tilt.

    The altitude makes neighbours of `strips` views overlap by about 70 %, within 55 to 95 m.
    """
    half = 72.0 if split == "train" else 62.0
    spacing = 2 * 72.0 / np.sqrt(strips)
    altitude = np.clip(spacing / 0.3 / (2 * np.tan(np.radians(field_of_view) / 2)), 55, 95)
    poses = []
    for x, y, heading in _boustrophedon(count, half):
        eye = np.array([x, y, altitude]) + rng.uniform(-3, 3, 3)
        target = np.array([eye[0], eye[1], 0.0]) + np.array([*rng.uniform(-0.06, 0.06, 2), 0.0]) * altitude
        yaw = heading + rng.normal(0, 0.05)
        poses.append(look_at(eye, target, np.array([np.cos(yaw), np.sin(yaw), 0.0])))
    return np.array(poses).reshape(-1, 4, 4)


def _boustrophedon(count: int, half: float) -> list[tuple[float, float, float]]:
    """`count` places in strips over a square, there and back, and the heading at each."""
    rows = max(round(np.sqrt(count)), 1)
    places = []
    for row in range(rows):
        columns = count // rows + (row < count % rows)
        y = (row + 0.5) / rows * 2 * half - half
        along = [(column + 0.5) / columns * 2 * half - half for column in range(columns)]
        forth = row % 2 == 0
        places += [(x, y, 0.0 if forth else np.pi) for x in (along if forth else along[::-1])]
    return places
