"""Maps photos by the trained eye alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import List, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.core.device import device_type
from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.eye.config import LEAST_SKILL
from nerfseg_ns.eye.eye import Eye, LabelledPicture
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.photos import Picture, find_pictures
from nerfseg_ns.segment.source import PhotoSource, digest_of


class EyeSource(PhotoSource):
    """Maps photos one by one, by the trained eye alone.

    Args:
        scene: folder of the scene.
        config: how.
    """

    learnt = "The eye has learnt the labels"

    def __init__(self, scene: Path, config: SegmentConfig) -> None:
        self.config = config
        self.pictures, self.table = find_pictures(scene, config.label_folder, config.palette, config.label_encoding)
        self.digest = digest_of(self.pictures, self.table, {"eye": asdict(config.eye), "seed": config.seed})

    def ready(self) -> None:
        """Learns the labels."""
        self._eye = Eye(self.config.eye, len(self.table)).to(device_type())
        self._eye.learn(LabelledPhotos(self.pictures, self.table), self.config.seed)
        say(what_skill_means(float(self._eye.skill), self._eye.is_measured))

    def map(self, picture: Picture, photo: UInt8[ndarray, "height width 3"]) -> Prediction:
        return as_prediction(self._eye.probabilities(torch.from_numpy(photo).float() / 255).log())


class LabelledPhotos(Sequence[LabelledPicture]):
    """Photos and labels as the eye learns from them, each read when it is asked for.

    Args:
        pictures: of which those with labels are taken.
        table: the classes.
    """

    def __init__(self, pictures: List[Picture], table: ClassTable) -> None:
        self.pictures, self.table = [picture for picture in pictures if picture.label is not None], table

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> LabelledPicture:
        picture = self.pictures[place]
        photo = picture.read()
        labels = picture.read_labels(self.table, (photo.shape[1], photo.shape[0]))
        return torch.from_numpy(photo).float() / 255, torch.from_numpy(np.ascontiguousarray(labels))


def what_skill_means(skill: float, is_measured: bool) -> str:
    """For the user.

    Args:
        skill: share of held-out labels that it gets right.
        is_measured: whether that could be tried.
    """
    if not is_measured:
        return (
            "How well the eye does could not be measured: the labels lie too close together. Look at the overlays; "
            "labels elsewhere, or in one more photo, would tell."
        )
    told = f"The eye gets {100 * skill:.0f} % of labels right in parts of the photos that it has not seen."
    if skill >= LEAST_SKILL:
        return told
    return (
        f"{told} That is little: the photos look unlike what its network was trained on, or the classes look alike. "
        "A trained run (--load-config) will do better."
    )
