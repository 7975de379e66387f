"""Where a scene is, from its posed photos: feature matches between neighbouring views, triangulated.

The poses are known, so a few hundred points are enough and take seconds. They give the grid geometry its bounds, beside
the points that a scene may bring, and rays whose end is known.
"""

from dataclasses import dataclass
from typing import List, Tuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor

from nerfseg_ns.core.indices import evenly_spaced_indices

MAX_VIEWS = 60
MANY_VIEWS = 240
"""Photos of a flight from which on every fourth, say, may not overlap the next."""
GROUP = 3
"""Photos next to each other that are read in each of many places then."""
MAX_SIDE = 640
NEIGHBOURS = 4
MIN_ANGLE = np.radians(1.5)
MAX_GAP_PIXELS = 1.5
RATIO = 0.85


@dataclass
class DepthRays:
    """Rays through matched pixels, with the distance at which they meet their partners in the other photo."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    """Of unit length."""
    distances: Float[Tensor, "rays 1"]

    @property
    def points(self) -> Float[Tensor, "rays 3"]:
        """The points that they hit."""
        return self.origins + self.distances * self.directions

    def __len__(self) -> int:
        return len(self.distances)


def find_depth_rays(dataset: InputDataset) -> DepthRays:
    """Triangulates SIFT matches between neighbouring photos.

    Args:
        dataset: posed photos; at most 60 of them are read, see `choose_views`.

    Returns:
        Two rays for each match, in the frame of the poses; possibly none, where nothing matches.
    """
    views = choose_views(dataset.cameras)
    features = [
        _view_features(dataset, int(view))
        for view in track(views, description="Looking for the scene's extent", console=CONSOLE, transient=True)
    ]
    matches = [
        _triangulate(dataset.cameras, (int(views[a]), int(views[b])), _match(features[a], features[b]))
        for a, b in _neighbours(dataset.cameras, views)
    ]
    rays = torch.cat([torch.zeros(0, 7), *matches])
    return DepthRays(rays[:, :3], rays[:, 3:6], rays[:, 6:])


def choose_views(cameras: Cameras, most: int = MAX_VIEWS, group: int = GROUP) -> Int[np.ndarray, "views"]:
    """The photos to read: all, or an even choice of them, or of a great many a choice with the next ones beside each.

    Args:
        cameras: of all photos, in the order in which they were taken.
        most: photos to read.
        group: photos next to each other, of a great many.
    """
    if len(cameras) <= max(MANY_VIEWS, most):
        return np.array(evenly_spaced_indices(len(cameras), most, with_ends=True))
    centres = torch.tensor(evenly_spaced_indices(len(cameras), most // group, with_ends=True))
    beside = _distances(cameras, centres).topk(group - 1, largest=False).indices.flatten()
    return torch.cat([centres, beside]).unique().numpy()


def _view_features(dataset: InputDataset, view: int) -> Tuple[np.ndarray, np.ndarray]:
    """Pixel positions (x, y at full size) and unit RootSIFT descriptors of a photo."""
    grey = cv2.cvtColor(dataset.get_numpy_image(view)[..., :3], cv2.COLOR_RGB2GRAY)
    scale = max(1.0, max(grey.shape) / MAX_SIDE)
    grey = cv2.resize(grey, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = cv2.SIFT_create(nfeatures=2000, contrastThreshold=0.02).detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    positions = np.array([keypoint.pt for keypoint in keypoints], np.float32) * scale
    return positions, np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))


def _neighbours(cameras: Cameras, views: Int[np.ndarray, "views"]) -> List[Tuple[int, int]]:
    """Pairs of positions in `views` that stand next to each other and look the same way."""
    chosen = torch.from_numpy(views)
    nearest = _distances(cameras, chosen)[:, chosen].topk(min(NEIGHBOURS, len(views)), largest=False)
    pairs = {
        (min(a, int(b)), max(a, int(b)))
        for a in range(len(views))
        for b, gap in zip(nearest.indices[a], nearest.values[a])
        if torch.isfinite(gap)
    }
    return sorted(pairs)


def _distances(cameras: Cameras, views: Int[Tensor, "views"]) -> Float[Tensor, "views cameras"]:
    """From some cameras to all; endless to those that look another way (by more than 60 degrees) and to themselves."""
    positions, axes = cameras.camera_to_worlds[:, :, 3], cameras.camera_to_worlds[:, :, 2]
    distance = torch.cdist(positions[views], positions, compute_mode="donot_use_mm_for_euclid_dist")
    distance[(axes[views] @ axes.T) < 0.5] = torch.inf
    distance[torch.arange(len(views)), views] = torch.inf
    return distance


def _match(
    first: Tuple[np.ndarray, np.ndarray], second: Tuple[np.ndarray, np.ndarray]
) -> Tuple[Float[np.ndarray, "matches 2"], Float[np.ndarray, "matches 2"]]:
    """Mutual nearest neighbours that are clearly nearer than the second nearest (Lowe's ratio test)."""
    if min(len(first[1]), len(second[1])) < 2:
        return first[0][:0], second[0][:0]
    similarity = first[1] @ second[1].T
    best, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    top = np.partition(similarity, -2, axis=1)[:, -2:]
    distance = np.sqrt(np.maximum(2 - 2 * top, 0))
    keep = (back[best] == np.arange(len(best))) & (distance[:, 1] < RATIO * distance[:, 0])
    return first[0][keep], second[0][best[keep]]


def _triangulate(
    cameras: Cameras, pair: Tuple[int, int], matches: Tuple[np.ndarray, np.ndarray]
) -> Float[Tensor, "rays 7"]:
    """Origin, direction and distance of the two rays of each match that nearly meet, in front of both cameras."""
    if len(matches[0]) == 0:
        return torch.zeros(0, 7)
    rays = [
        cameras.generate_rays(camera_indices=view, coords=torch.from_numpy(xy[:, ::-1].copy()))
        for view, xy in zip(pair, matches)
    ]
    (o1, d1), (o2, d2) = ((r.origins.cpu(), r.directions.cpu()) for r in rays)
    cosine = (d1 * d2).sum(-1)
    sine2 = (1 - cosine**2).clamp(min=1e-8)
    baseline = o2 - o1
    along1, along2 = (baseline * d1).sum(-1), (baseline * d2).sum(-1)
    t1, t2 = (along1 - cosine * along2) / sine2, (cosine * along1 - along2) / sine2
    p1, p2 = o1 + t1[:, None] * d1, o2 + t2[:, None] * d2
    focal = float(cameras.fx[pair[0]])
    gap = (p1 - p2).norm(dim=-1) / torch.minimum(t1, t2).clamp(min=1e-6)
    keep = (t1 > 0) & (t2 > 0) & (gap < MAX_GAP_PIXELS / focal) & (sine2 > np.sin(MIN_ANGLE) ** 2)
    return torch.cat([torch.cat([o1, d1, t1[:, None]], -1)[keep], torch.cat([o2, d2, t2[:, None]], -1)[keep]])
