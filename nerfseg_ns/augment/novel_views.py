"""Views that nobody photographed, between those that somebody did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_utils import get_interpolated_poses
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import UserError


@dataclass
class NovelView:
    """A view between two photos."""

    camera: Cameras
    """One camera, with the first photo's lens, without distortion."""
    between: Tuple[int, int]
    """Positions of the two photos in their split."""


def views_between(cameras: Cameras, count: int) -> List[NovelView]:
    """So many views, evenly over the pairs of neighbours and, where a pair gets several, evenly between the two.

    Args:
        cameras: of the photos.
        count: of views.

    Raises:
        UserError: no two photos were taken at different places.
    """
    pairs = neighbours(cameras.camera_to_worlds[..., 3].cpu().numpy())
    if not pairs:
        raise UserError("Novel views lie between photos, but no two of them were taken at different places.")
    shares = np.full(len(pairs), count // len(pairs))
    shares[evenly_spaced_indices(len(pairs), count % len(pairs))] += 1
    views = []
    for (first, second), share in zip(pairs, shares):
        poses = cameras.camera_to_worlds[[first, second]].cpu().numpy()
        for pose in get_interpolated_poses(*poses, steps=int(share) + 2)[1:-1]:
            views.append(NovelView(_camera_at(pose, cameras, first), (first, second)))
    return views


def neighbours(positions: Float[ndarray, "photos 3"]) -> List[Tuple[int, int]]:
    """Pairs that lie close together and join all positions: the edges of their minimum spanning tree, in order."""
    tree = minimum_spanning_tree(cdist(positions, positions)).tocoo()
    return sorted((int(min(pair)), int(max(pair))) for pair in zip(tree.row, tree.col))


def _camera_at(pose: Float[ndarray, "3 4"], cameras: Cameras, lens: int) -> Cameras:
    """A camera at a pose with the lens of one of the others."""
    like = cameras[lens : lens + 1].to("cpu")
    return Cameras(
        camera_to_worlds=torch.from_numpy(np.asarray(pose)).float()[None],
        fx=like.fx,
        fy=like.fy,
        cx=like.cx,
        cy=like.cy,
        width=like.width,
        height=like.height,
        camera_type=like.camera_type,
    )
