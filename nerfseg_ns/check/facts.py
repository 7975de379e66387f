"""What a scene is: read through its dataparser, as training does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataparserOutputs
from PIL import ExifTags, Image

from nerfseg_ns.check.config import CheckConfig
from nerfseg_ns.dataparsers.choose import parser_config
from nerfseg_ns.dataparsers.detect import detect_dataparser
from nerfseg_ns.errors import ErrorCollector
from nerfseg_ns.geo.georeference import METADATA_KEY, Georeference
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.label_maps import LabelMaps, count_pixels

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitFacts:
    """One split of a scene."""

    name: str
    outputs: DataparserOutputs
    pixels: Int64[np.ndarray, "labelled_photos 256"]
    """Pixels by class index of each labelled photo."""

    @property
    def labels(self) -> LabelMaps:
        """The split's label maps."""
        return self.outputs.metadata["semantics"]

    @property
    def class_pixels(self) -> Int64[np.ndarray, " 256"]:
        """Pixels by class index, IGNORE_INDEX among them."""
        return self.pixels.sum(axis=0)


@dataclass(frozen=True)
class SceneFacts:
    """A scene that training can use."""

    dataparser: str
    splits: list[SplitFacts]
    """train first; val and test as one where they are the same photos."""

    @property
    def table(self) -> ClassTable:
        """The scene's classes."""
        return self.splits[0].labels.table

    @property
    def georeference(self) -> Georeference | None:
        """Where on the earth the scene is, if it says so."""
        return self.splits[0].outputs.metadata.get(METADATA_KEY)

    def sizes(self) -> list[str]:
        """The sizes of the images that are loaded, pixels."""
        pairs = torch.cat([torch.cat([s.outputs.cameras.width, s.outputs.cameras.height], -1) for s in self.splits])
        return [f"{width} x {height}" for width, height in pairs.unique(dim=0).tolist()]

    def camera_model(self) -> str:
        """The cameras' projection, and whether they have distortion."""
        cameras = self.splits[0].outputs.cameras
        names = sorted({CameraType(int(kind)).name.lower() for kind in cameras.camera_type.unique()})
        distorted = cameras.distortion_params is not None and bool(cameras.distortion_params.abs().max() > 0)
        return " and ".join(names) + (" with distortion" if distorted else ", no distortion")

    def farthest_camera(self) -> float:
        """Largest distance of a camera from the origin, in scene units; below 1."""
        return max(float(s.outputs.cameras.camera_to_worlds[..., 3].norm(dim=-1).max()) for s in self.splits)

    def notes(self) -> list[str]:
        """What may surprise, but does not stop the training."""
        train = self.splits[0]
        return [
            *_unlearnt_classes(self.table, train, self.splits[1:]),
            *(note for split in self.splits for note in _empty_labels(split)),
            *(note for split in self.splits for note in _turned_photos(split)),
            *_nothing_held_out(train, self.splits[1:]),
        ]


def read_facts(scene: Path, config: CheckConfig) -> SceneFacts:
    """Reads a scene as training does it.

    Raises:
        UserError: training would fail; holds everything that was found wrong.
    """
    name = detect_dataparser(scene)
    parser: DataParser = parser_config(name, scene, config.dataparser_options()).setup()
    problems, splits = ErrorCollector(), []
    for split in SPLITS:
        with problems.collect():
            outputs = parser.get_dataparser_outputs(split)
            maps: LabelMaps = outputs.metadata["semantics"]
            splits.append(SplitFacts(split, outputs, count_pixels(maps.labels, maps.table)))
    problems.raise_found()
    return SceneFacts(name, _merge_same(splits))


def _merge_same(splits: list[SplitFacts]) -> list[SplitFacts]:
    train, val, test = splits
    if train.outputs.image_filenames == val.outputs.image_filenames == test.outputs.image_filenames:
        return [SplitFacts("train = val = test", train.outputs, train.pixels)]
    if val.outputs.image_filenames == test.outputs.image_filenames:
        return [train, SplitFacts("val = test", test.outputs, test.pixels)]
    return splits


def _unlearnt_classes(table: ClassTable, train: SplitFacts, others: list[SplitFacts]) -> list[str]:
    held = sum((split.class_pixels for split in others), np.zeros(256, np.int64))
    missing = [name for i, name in enumerate(table.names) if held[i] and not train.class_pixels[i]]
    if not missing:
        return []
    return [
        f"Labels held out show {', '.join(missing)}, but no training label does: nothing can be learnt of that, and "
        "the mIoU counts it as 0."
    ]


def _empty_labels(split: SplitFacts) -> list[str]:
    paths = [label.path for label in split.labels.labels if label is not None]
    return [
        f"{path} labels not one pixel."
        for path, row in zip(paths, split.pixels, strict=True)
        if row[:IGNORE_INDEX].sum() == 0
    ]


def _turned_photos(split: SplitFacts) -> list[str]:
    """Labelled photos that other programs show turned: nerfstudio takes the pixels as they are stored."""
    photos = [split.outputs.image_filenames[index] for index in split.labels.labelled]
    return [
        f"{photo} has an EXIF orientation: label tools turn it, training does not. Its labels must be drawn on the "
        "photo as it is stored."
        for photo in photos
        if _orientation(photo) != 1
    ]


def _orientation(photo: Path) -> int:
    with Image.open(photo) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1)


def _nothing_held_out(train: SplitFacts, others: list[SplitFacts]) -> list[str]:
    trained = set(train.outputs.image_filenames)
    if all(photo in trained for split in others for photo in split.outputs.image_filenames):
        return ["No photo is held out: scores will be those of photos that are trained on."]
    return []
