"""From a scene with a few labelled photos to the label map of every photo."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.eye.config import LEAST_SKILL
from nerfseg_ns.eye.eye import Eye, LabelledPicture
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.photos.progress import progress_bar, say
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.mapped_folder import MappedFolder
from nerfseg_ns.segment.pictures import Picture, find_pictures
from nerfseg_ns.utils.commands import device_type

VERSION = 2
"""Of what is written: raised when the same input gives other maps."""


def run_segment(scene: Optional[Path], config: SegmentConfig) -> Path:
    """Writes label map, confidence and overlay of every photo.

    Args:
        scene: its folder; may be left out where a run is named.
        config: how.

    Returns:
        The folder that they are in.

    Raises:
        SceneError: options, photos or labels are not usable.
    """
    config.check(scene)
    source = EyeSource(scene, config) if config.load_config is None else _run_source(scene, config)
    output = MappedFolder(config.output_dir.expanduser().resolve(), source.table, source.digest)
    output.open()
    waiting = [picture for picture in source.pictures if not output.has(picture.name)]
    start = time.time()
    if waiting:
        source.ready()
        labelled = sum(picture.label is not None for picture in source.pictures)
        seconds, start = time.time() - start, time.time()
        say(f"{source.learnt} of {labelled} labelled photos, {len(source.table)} classes ({seconds:.0f} s).")
        with progress_bar("Mapping labels", len(waiting)) as tell:
            for done, picture in enumerate(waiting, start=1):
                photo = picture.read()
                drawn = picture.read_labels(source.table, (photo.shape[1], photo.shape[0]))
                output.write(picture.name, photo, source.map(picture, photo), drawn)
                tell(done)
    kept = len(source.pictures) - len(waiting)
    again = f" {kept} were there already." if kept else ""
    each = f", {(time.time() - start) / len(waiting):.1f} s each" if waiting else ""
    say(f"{len(waiting)} photos mapped{each}.{again}\nlabels/, confidence/ and overlay/ are in {output.folder}")
    return output.folder


class PhotoSource(ABC):
    """Photos, and who maps them."""

    learnt: str
    """Who has learnt what, for the user."""
    pictures: List[Picture]
    table: ClassTable
    digest: str
    """Of all that the maps depend on."""

    @abstractmethod
    def ready(self) -> None:
        """Called before the first photo is mapped."""

    @abstractmethod
    def map(self, picture: Picture, photo: UInt8[ndarray, "height width 3"]) -> Prediction:
        """The label map of a photo, in its size."""


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
        skill: share of labels, not learnt from, that are named rightly.
        is_measured: whether that could be tried.
    """
    if not is_measured:
        return (
            "How far the eye can be trusted could not be tried: what is labelled lies too close together. Look at the "
            "overlays; labels elsewhere, or in one more photo, tell."
        )
    told = f"Of labels that it did not learn from, the eye names {100 * skill:.0f} % rightly."
    if skill >= LEAST_SKILL:
        return told
    return (
        f"{told} That is little: its network knows photographs, and these look unlike any, or the classes look alike. "
        "A run (--load-config) then knows more."
    )


def digest_of(pictures: List[Picture], table: ClassTable, options: dict) -> str:
    """Changes with the labels, the classes and the options; a photo by its size on disk and its time."""
    total = hashlib.sha256(json.dumps([VERSION, table.names, table.colors, options], default=str).encode())
    for picture in pictures:
        state = picture.path.stat()
        total.update(f"{picture.name} {state.st_size} {state.st_mtime_ns}".encode())
        if picture.label is not None:
            total.update(picture.label.read(table).tobytes())
    return total.hexdigest()


def _run_source(scene: Optional[Path], config: SegmentConfig) -> PhotoSource:
    from nerfseg_ns.segment.run_source import RunSource  # late: it brings nerfstudio's training

    return RunSource(scene, config)
