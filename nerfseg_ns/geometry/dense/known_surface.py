"""The distance at which rays of photos end, looked up in what dense matching has found."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.core.projection import can_project
from nerfseg_ns.geometry.dense.dense_depth import DenseView, find_dense_depth
from nerfseg_ns.geometry.dense.pictures import save_sheet
from nerfseg_ns.geometry.dense.slab import Slab
from nerfseg_ns.geometry.scene_frame import slab_rotation

POINTS_A_VIEW = 2000
"""Of the surest places of a photo, so many tell how far the scene reaches."""
FILE, PICTURE = "surface.npz", "surface.jpg"
"""In the folder of a run."""


@dataclass
class KnownSurface:
    """What is known of a scene's surface, photo by photo."""

    distances: Float[Tensor, "matched rows columns"]
    """Along the pixels' rays, in units of the poses; 0 where nothing is known."""
    to_pixels: Float[Tensor, "matched 3 3"]
    """From directions in the world to columns and rows of the above."""
    order: Int[Tensor, "photos"]
    """Which of the above a photo of the dataset is; -1 if none."""
    points: Float[Tensor, "points 3"]
    """Some of the surest places."""
    camera_height: Float[Tensor, ""]
    """Of the cameras above the ground, in the median."""
    poses: Float[Tensor, "photos 3 4"]
    """Camera-to-world of all photos, by which a kept surface is known to be that of a scene."""

    @staticmethod
    def of(found: Mapping[int, DenseView], cameras: Cameras, camera_height: float) -> KnownSurface:
        """Gathers what was found.

        Args:
            found: by the index of the photo; at least one.
            cameras: of all photos.
            camera_height: above the ground, in the median.
        """
        sizes = np.array([dense.heights.shape for dense in found.values()])
        distances = torch.zeros(len(found), *sizes.max(axis=0).tolist(), dtype=torch.float32)
        order = torch.full((len(cameras),), -1)
        points, to_pixels = [], []
        for position, (index, dense) in enumerate(found.items()):
            places = dense.places()
            known = np.where(dense.trusted, np.linalg.norm(places - dense.view.origin, axis=-1), 0)
            distances[position, : known.shape[0], : known.shape[1]] = torch.from_numpy(known)
            to_pixels.append(dense.view.matrix @ dense.view.rotation.T)
            order[index] = position
            sure = places[dense.agreeing >= 2]
            points.append(sure[:: max(1, -(-len(sure) // POINTS_A_VIEW))])
        return KnownSurface(
            distances,
            torch.from_numpy(np.array(to_pixels)).float(),
            order,
            torch.from_numpy(np.concatenate(points)).float(),
            torch.tensor(camera_height),
            cameras.camera_to_worlds.cpu().float().clone(),
        )

    def to(self, device: torch.device) -> KnownSurface:
        """The same on a device."""
        return KnownSurface(*(getattr(self, item.name).to(device) for item in fields(self)))

    def look_up(self, rays: RayBundle) -> Float[Tensor, "rays 1"]:
        """Distances at which rays of the photos end, those of the nearest pixel; 0 where that is not known.

        Args:
            rays: with the index of their photo.
        """
        assert rays.camera_indices is not None
        position = self.order[rays.camera_indices[..., 0]]
        with torch.autocast(rays.directions.device.type, enabled=False):  # which would take the product to half
            seen = self.to_pixels[position] @ rays.directions.float()[..., None]
        column, row, ahead = seen[..., 0].unbind(-1)
        pixels = (torch.stack([row, column]) / ahead.clamp(min=1e-6)).round().long()
        limits = pixels.new_tensor(self.distances.shape[1:])[:, None]
        inside = ((pixels >= 0) & (pixels < limits)).all(dim=0) & (ahead > 0) & (position >= 0)
        row, column = pixels * inside
        return (self.distances[position, row, column] * inside)[:, None]

    def save(self, path: Path) -> None:
        """Writes it as a compressed npz, whole or not at all."""
        arrays = {item.name: getattr(self, item.name).cpu().numpy() for item in fields(self)}
        write_whole(path, lambda beside: np.savez_compressed(beside, **arrays))

    @staticmethod
    def load(path: Path, cameras: Cameras) -> KnownSurface | None:
        """Reads it; None if the file is not there, is no such file, or is of photos elsewhere."""
        try:
            with np.load(path) as arrays:
                kept = KnownSurface(*(torch.from_numpy(arrays[item.name]) for item in fields(KnownSurface)))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            return None
        return kept if torch.equal(kept.poses, cameras.camera_to_worlds.cpu().float()) else None


def find_surface(
    dataset: InputDataset, points: Float[Tensor, "points 3"], folders: Sequence[Path] = ()
) -> KnownSurface | None:
    """Matches the photos of a scene densely, or takes what was found before.

    Args:
        dataset: posed photos.
        points: known of the scene, outliers allowed; they tell where the ground is.
        folders: of the run, where the result and a picture of it are kept, and others where it may be from before.

    Returns:
        None where no photo can be matched, which is said.
    """
    if not can_project(dataset.cameras):
        CONSOLE.log("Photos of these cameras are not matched densely: they are neither perspective nor fisheye.")
        return None
    for folder in folders:
        if (kept := KnownSurface.load(folder / FILE, dataset.cameras)) is not None:
            return kept
    origins = dataset.cameras.camera_to_worlds[:, :, 3].cpu()
    up = slab_rotation(points, origins.float())[2].double().numpy()
    slab = Slab.around(points.double().numpy(), origins.double().numpy(), up)
    found = find_dense_depth(dataset, slab)
    share = np.mean([dense.trusted.mean() for dense in found.values()] or 0)
    if share == 0:
        CONSOLE.log("Dense matching found nothing that two photos agree on.")
        return None
    surface = KnownSurface.of(found, dataset.cameras, float(np.median(slab.above(origins.double().numpy()))))
    CONSOLE.log(f"Dense matching tells how far {share:.0%} of the photos' pixels are away.")
    if folders:
        _keep(surface, list(found.values()), slab, folders[0])
    return surface


def _keep(surface: KnownSurface, found: Sequence[DenseView], slab: Slab, folder: Path) -> None:
    try:
        surface.save(folder / FILE)
        save_sheet(folder / PICTURE, found, slab)
    except OSError as error:  # which is no reason not to train
        CONSOLE.print(f"[yellow]Cannot keep in {folder} what dense matching has found: {error.strerror or error}.")
