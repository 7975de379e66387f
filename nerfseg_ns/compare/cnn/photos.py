"""The photos that a CNN learns from, as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from nerfseg_ns.compare.method import Job
from nerfseg_ns.compare.scene import ComparedScene, LabelledImage
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX


@dataclass
class TrainingPhoto:
    """A photo and its labels."""

    image: UInt8[Tensor, "3 height width"]
    labels: UInt8[Tensor, "height width"]
    """Class indices, IGNORE_INDEX where not labelled."""

    @classmethod
    def of(cls, photo: LabelledImage) -> TrainingPhoto:
        """A photo as it was read, as tensors on the CPU."""
        image = torch.from_numpy(photo.image).permute(2, 0, 1).contiguous()
        return cls(image, torch.from_numpy(photo.labels))

    @property
    def is_labelled(self) -> bool:
        """Whether any of its pixels is."""
        return bool((self.labels != IGNORE_INDEX).any())

    def to(self, device: torch.device) -> TrainingPhoto:
        """The same on a device."""
        return TrainingPhoto(self.image.to(device), self.labels.to(device))


def labelled_photos(scene: ComparedScene) -> List[TrainingPhoto]:
    """The training photos whose labels methods may see; those without a labelled pixel are left out.

    Raises:
        UserError: none is left.
    """
    read = [TrainingPhoto.of(scene.read("train", view)) for view in scene.labelled_views]
    photos = [photo for photo in read if photo.is_labelled]
    if not photos:
        raise UserError(
            f"None of the {len(read)} labelled training photos of {scene.folder} that are learnt from has a labelled "
            "pixel. Label some of it, or learn from more labelled photos."
        )
    return photos


def added_photos(job: Job, min_confidence: float) -> List[TrainingPhoto]:
    """The unlabelled training photos with the labels that the method's row adds; none where it adds none.

    Args:
        job: what to do.
        min_confidence: of label maps, 0 to 1; pixels below count as not labelled.

    Raises:
        UserError: label maps are missing or do not fit their photos.
    """
    scene = job.scene
    if job.info.extra == "truth":
        return [TrainingPhoto.of(scene.read("train", view, with_truth=True)) for view in scene.propagated_views]
    if job.info.extra == "maps":
        unlabelled = sorted(set(range(len(scene.train))) - set(scene.labelled_views))
        return [_with_map(scene.read("train", view), _maps_folder(job), min_confidence) for view in unlabelled]
    return []


def _maps_folder(job: Job) -> Path:
    if job.maps is None:
        raise UserError(f"{job.info.title} learns from label maps too, but no folder of maps is given.")
    return job.maps


def _with_map(photo: LabelledImage, folder: Path, min_confidence: float) -> TrainingPhoto:
    labels = _read_map(folder / f"{photo.stem}.png", photo)
    confidence = _read_map(folder / f"{photo.stem}-confidence.png", photo)
    photo.labels = np.where(confidence >= 255 * min_confidence, labels, IGNORE_INDEX).astype(np.uint8)
    return TrainingPhoto.of(photo)


def _read_map(path: Path, photo: LabelledImage) -> UInt8[ndarray, "height width"]:
    try:
        with Image.open(path) as file:
            values = np.asarray(file)
    except OSError as error:
        raise UserError(f"Cannot read the map {path} of the training photo {photo.stem}: {error}") from error
    if values.shape != photo.image.shape[:2]:
        raise UserError(
            f"The map {path} has the shape {values.shape}; its photo {photo.stem} has {photo.image.shape[:2]} pixels "
            "(height, width). Make the maps of this scene's photos anew."
        )
    return values
