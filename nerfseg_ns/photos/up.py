"""Which way is up in a reconstruction, by what needs no GPS: the gimbal, the views, the ground, the flight's level.

Each alone goes wrong somewhere: the ground on a slope, the views where a camera is mounted at a tilt, the level where
flights follow the land. So three are asked, and the one that the others agree with most is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import pycolmap
import torch
from jaxtyping import Float64

from nerfseg_ns.geometry.ground_plane import plane_normal

FEWEST_POINTS = 100
"""Sparse points that tell where the ground is."""
ONE_WAY = 15.0
"""Degrees from their mean direction, in the median, up to which photos count as looking one way."""
FLATTEST = 0.25
"""Thickness of a flight as a share of its width, up to which it counts as level."""
NARROWEST = 0.1
"""Width of a flight as a share of its length, below which it says nothing of its level."""
APART = 20.0
"""Degrees between two opinions, beyond which neither is believed."""
LEAST_ERROR = 1.0
"""Degrees; agreement may be chance."""
GIMBAL_ERROR = 5.0
"""Degrees that gimbals may disagree by, in the median, before they are not believed."""

Vectors = Float64[np.ndarray, "n 3"]


@dataclass(frozen=True, eq=False)
class Up:
    """The up direction of a reconstruction.

    Args:
        direction: unit vector.
        error: how far it may be off, degrees.
        opinions: the directions that it was chosen from, unit vectors.
        source: what says so, in words.
    """

    direction: Float64[np.ndarray, " 3"]
    error: float
    opinions: tuple[Float64[np.ndarray, " 3"], ...]
    source: str

    def agrees(self, other: Float64[np.ndarray, " 3"], limit: float) -> bool:
        """Whether any opinion is within `limit` degrees of a direction."""
        return any(angle(opinion, other) <= limit for opinion in self.opinions)


def up_of_model(model: pycolmap.Reconstruction, pitches: dict[str, float]) -> Optional[Up]:
    """The up direction of a model with the photos' pitches, degrees, by name, as far as they are known."""
    images = [image for image in model.images.values() if image.has_pose]
    rotations = np.array([image.cam_from_world().rotation.matrix() for image in images])
    centres = np.array([image.projection_center() for image in images])
    points = np.array([point.xyz for point in model.points3D.values()]).reshape(-1, 3)
    return find_up(centres, rotations, points, [pitches.get(image.name) for image in images])


def find_up(
    centres: Vectors,
    rotations: Float64[np.ndarray, "n 3 3"],
    points: Vectors,
    pitches: Sequence[Optional[float]] = (),
) -> Optional[Up]:
    """The up direction, if anything tells.

    Args:
        centres: of the cameras.
        rotations: from the world to the cameras' axes: x right, y down, z forward.
        points: sparse points.
        pitches: of the cameras, degrees: 0 at the horizon, -90 straight down; None where it is not known.
    """
    by_gimbal = _gimbal(rotations, pitches)
    if by_gimbal is not None:
        return by_gimbal
    backward = -rotations[:, 2].mean(axis=0)
    opinions = {
        "the photos' viewing directions": _views(rotations),
        "the ground": _ground(points, backward),
        "the flight's level": _level(centres, backward),
    }
    said = {name: direction for name, direction in opinions.items() if direction is not None}
    return _most_agreed(said)


def angle(first: Float64[np.ndarray, " 3"], second: Float64[np.ndarray, " 3"]) -> float:
    """Degrees between two directions."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


def _gimbal(rotations: Float64[np.ndarray, "n 3 3"], pitches: Sequence[Optional[float]]) -> Optional[Up]:
    """By the pitch of at least half of the cameras: a gimbal keeps the image's x axis level."""
    known = [index for index, pitch in enumerate(pitches) if pitch is not None]
    if 2 * len(known) < len(rotations) or len(known) < 3:
        return None
    pitch = np.radians([pitches[index] for index in known])
    seen = np.stack([np.zeros_like(pitch), -np.cos(pitch), np.sin(pitch)], axis=-1)
    ups = np.einsum("nij,ni->nj", rotations[known], seen)
    middle = _unit(np.median(ups, axis=0))
    apart = float(np.median([angle(up, middle) for up in ups]))
    if apart > GIMBAL_ERROR:
        return None
    return Up(middle, max(LEAST_ERROR, apart), (middle,), "the gimbal's angles")


def _views(rotations: Float64[np.ndarray, "n 3 3"]) -> Optional[Float64[np.ndarray, " 3"]]:
    """Against the mean viewing direction, if the photos look one way; whether that is down, the others tell."""
    mean = -rotations[:, 2].mean(axis=0)
    if np.linalg.norm(mean) < 1e-6:
        return None
    up = _unit(mean)
    return up if np.median([angle(-row, up) for row in rotations[:, 2]]) <= ONE_WAY else None


def _ground(points: Vectors, backward: Float64[np.ndarray, " 3"]) -> Optional[Float64[np.ndarray, " 3"]]:
    if len(points) < FEWEST_POINTS:
        return None
    return _towards(plane_normal(torch.from_numpy(points)).double().numpy(), backward)


def _level(centres: Vectors, backward: Float64[np.ndarray, " 3"]) -> Optional[Float64[np.ndarray, " 3"]]:
    """At right angles to the plane of the flight, if it has one; any three photos have."""
    if len(centres) < 4:
        return None
    _, (length, width, thickness), axes = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)
    flat = width > NARROWEST * length and thickness < FLATTEST * width
    return _towards(axes[2], backward) if flat else None


def _most_agreed(said: dict[str, Float64[np.ndarray, " 3"]]) -> Optional[Up]:
    """Of three the one nearest to the others, of two the middle, of one nothing: it may be any of the traps."""
    if len(said) < 2:
        return None
    names, opinions = list(said), list(said.values())
    apart = np.array([[angle(one, other) for other in opinions] for one in opinions])
    nearest = np.sort(apart + np.diag([np.inf] * len(opinions)), axis=1)[:, 0]
    best = int(np.argmin(apart.sum(axis=1)))
    error = float(nearest[best])
    if error > APART:
        return None
    partner = int(np.argsort(apart[best])[1])
    direction = opinions[best] if len(opinions) > 2 else _unit(opinions[0] + opinions[1])
    source = " and ".join(names[index] for index in sorted((best, partner)))
    return Up(direction, max(LEAST_ERROR, error), tuple(opinions), source)


def _towards(normal: Float64[np.ndarray, " 3"], side: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, " 3"]:
    return _unit(normal if normal @ side >= 0 else -normal)


def _unit(vector: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, " 3"]:
    return vector / np.linalg.norm(vector)
