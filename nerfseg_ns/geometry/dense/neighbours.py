"""Which photos to match with which."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras

from nerfseg_ns.core.projection import Projector
from nerfseg_ns.geometry.dense.slab import Slab

CANDIDATES = 24
"""Nearest photos that are looked at."""
BEST_ANGLE, ANGLE_SPREAD = 12.0, 0.8
"""Degrees between the rays of two photos to one place at which heights are told best and matches still found, and how
fast (natural logarithm) it gets worse to both sides."""
LEAST_SCORE = 0.1
"""Of a neighbour that is worth matching with; 1 for one that sees all of a photo at the best angle."""
SAME_WAY = 0.7
"""Least cosine between the axes of two photos."""
FARTHEST = 8.0
"""Places farther away than so many camera heights are not looked at."""


def find_neighbours(
    cameras: Cameras, projector: Projector, slab: Slab, among: Int[np.ndarray, "views"], count: int
) -> dict[int, Int[np.ndarray, "near"]]:
    """Photos that see the same ground at a good angle, for each photo at most `count`, best first.

    Args:
        cameras: of all photos.
        projector: of the same.
        slab: the ground.
        among: photos to find neighbours of, and among.
        count: of neighbours.
    """
    poses = cameras.camera_to_worlds.cpu().double().numpy()
    origins, axes = poses[:, :, 3], poses[:, :, 2]
    found = {}
    for view in among.tolist():
        places = _places(cameras, origins[view], view, slab)
        others = among[among != view]
        near = others[np.argsort(np.linalg.norm(origins[others] - origins[view], axis=1), kind="stable")][:CANDIDATES]
        near = near[axes[near] @ axes[view] > SAME_WAY] if len(places) else near[:0]
        scores = np.array([_score(places, origins[view], projector, int(other)) for other in near])
        best = np.argsort(-scores, kind="stable")[:count]
        found[view] = near[best[scores[best] > LEAST_SCORE]]
    return found


def _places(cameras: Cameras, origin: Float[np.ndarray, "3"], view: int, slab: Slab) -> Float[np.ndarray, "places 3"]:
    """On the ground, evenly spread over a photo."""
    height, width = float(cameras.height[view]), float(cameras.width[view])
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)
    pixels = torch.tensor([[y * height, x * width] for y in shares for x in shares])
    rays = cameras.generate_rays(camera_indices=view, coords=pixels)
    directions = rays.directions.cpu().double().numpy()
    above, down = slab.above(origin), -(directions @ slab.up)
    distances = above / np.where(np.abs(down) < 1e-9, 1e-9, down)
    hit = (above > 0) & (distances > 0) & (distances < FARTHEST * above)
    return origin + distances[hit, None] * directions[hit]


def _score(
    places: Float[np.ndarray, "places 3"], origin: Float[np.ndarray, "3"], projector: Projector, other: int
) -> float:
    """How well another photo is matched with one that sees these places."""
    found = projector.project(other, torch.from_numpy(places))
    here = places - origin
    cosines = (here * found.direction.double().numpy()).sum(axis=1) / np.linalg.norm(here, axis=1)
    angle = np.degrees(np.arccos(np.clip(np.median(cosines), -1, 1)))
    return float(found.inside.float().mean()) * np.exp(-((np.log(max(angle, 0.1) / BEST_ANGLE) / ANGLE_SPREAD) ** 2))
