"""The distance at which rays of photos end, looked up in what dense matching has found."""

from __future__ import annotations

from typing import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from nerfseg_ns.geometry.dense.dense_depth import DenseView, find_dense_depth
from nerfseg_ns.geometry.dense.slab import Slab
from nerfseg_ns.geometry.scene_frame import slab_rotation

POINTS_A_VIEW = 2000
"""Of the surest places of a photo, so many tell how far the scene reaches."""


class KnownSurface:
    """Distances of all photos as one array, nearest pixel.

    Args:
        found: by the index of the photo; at least one.
        num_views: photos in all.
        camera_height: of the cameras above the ground, in the median.
    """

    def __init__(self, found: Mapping[int, DenseView], num_views: int, camera_height: float) -> None:
        self.camera_height = camera_height
        sizes = np.array([dense.heights.shape for dense in found.values()])
        self.distances = torch.zeros(num_views, *sizes.max(axis=0).tolist())
        """0 where nothing is known: [photos, rows, columns]."""
        self.to_pixels = torch.zeros(num_views, 3, 3)
        """From directions in the world to pixels."""
        points = []
        for index, dense in found.items():
            view, trusted = dense.view, dense.trusted
            distances = np.linalg.norm(dense.places - view.origin, axis=-1)
            height, width = distances.shape
            self.distances[index, :height, :width] = torch.from_numpy(np.where(trusted, distances, 0)).float()
            self.to_pixels[index] = torch.from_numpy(view.matrix @ view.rotation.T).float()
            sure = dense.places[dense.agreeing >= 2]
            points.append(sure[:: max(1, len(sure) // POINTS_A_VIEW)])
        self.points = torch.from_numpy(np.concatenate(points)).float()
        """Some of the surest places, [points, 3]."""

    @property
    def share(self) -> float:
        """Of all pixels, those whose distance is known."""
        return float((self.distances > 0).float().mean())

    def to(self, device: torch.device) -> KnownSurface:
        """Moves the arrays."""
        self.distances, self.to_pixels = self.distances.to(device), self.to_pixels.to(device)
        return self

    def look_up(self, rays: RayBundle) -> Float[Tensor, "rays 1"]:
        """Distances at which rays of the photos end; 0 where that is not known.

        Args:
            rays: with the index of their photo.
        """
        photos: Int[Tensor, "rays"] = rays.camera_indices[..., 0]
        column, row, ahead = (self.to_pixels[photos] @ rays.directions[..., None])[..., 0].unbind(-1)
        pixels = (torch.stack([row, column]) / ahead.clamp(min=1e-6)).round().long()
        limits = pixels.new_tensor(self.distances.shape[1:])[:, None]
        inside = ((pixels >= 0) & (pixels < limits)).all(dim=0) & (ahead > 0)
        row, column = pixels * inside
        return (self.distances[photos, row, column] * inside)[:, None]


def find_surface(dataset: InputDataset, points: Float[Tensor, "points 3"]) -> KnownSurface | None:
    """Matches the photos of a scene densely.

    Args:
        dataset: posed photos.
        points: known of the scene, outliers allowed; they tell where the ground is.

    Returns:
        None where no photo can be matched.
    """
    kinds = {CameraType.PERSPECTIVE.value, CameraType.FISHEYE.value}
    if not set(dataset.cameras.camera_type.flatten().tolist()) <= kinds:
        return None
    origins = dataset.cameras.camera_to_worlds[:, :, 3].cpu()
    up = slab_rotation(points, origins.float())[2].double().numpy()
    slab = Slab.around(points.double().numpy(), origins.double().numpy(), up)
    found = find_dense_depth(dataset, slab)
    if not any(dense.trusted.any() for dense in found.values()):
        return None
    surface = KnownSurface(found, len(dataset), float(np.median(slab.above(origins.double().numpy()))))
    CONSOLE.log(f"Dense matching: how far {surface.share:.0%} of the photos' pixels are away.")
    return surface
