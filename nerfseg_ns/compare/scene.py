"""A scene as every compared method sees it: posed photos, some with labels, and held-out views with the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import List, Optional

import numpy as np
from jaxtyping import UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from numpy import ndarray
from PIL import Image

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.choose import parser_config
from nerfseg_ns.dataparsers.detect import detect_dataparser
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.find import FORMS, find_labels
from nerfseg_ns.labels.label_maps import LabelMaps, prepare_labels


@dataclass
class LabelledImage:
    """A photo and its labels."""

    stem: str
    """Of the photo's file."""
    image: UInt8[ndarray, "height width 3"]
    labels: UInt8[ndarray, "height width"]
    """Class indices, IGNORE_INDEX where not labelled."""


class ComparedScene:
    """Reads a scene through its own dataparser.

    Args:
        folder: of the scene.
        num_labelled: labelled training photos that methods may see, evenly chosen; 0 for all.
        truth: folder with labels of further training photos, which no method sees: methods are scored on these photos.
            None to score them on the labelled views that the scene holds out.

    Raises:
        UserError: the scene is not usable, has not so many labelled photos, or there is nothing to score on.
    """

    def __init__(self, folder: Path, num_labelled: int = 0, truth: Optional[Path] = None) -> None:
        self.folder, self.truth = folder, truth
        self.dataparser = detect_dataparser(folder)
        self.num_labelled = num_labelled
        self._parser = parser_config(self.dataparser, folder, {}).setup()

    @cached_property
    def train(self) -> LabelledDataset:
        """Training photos; those whose labels methods may not see are unlabelled here."""
        maps = self._outputs.metadata["semantics"].keep_labelled(self.num_labelled)
        return LabelledDataset(replace(self._outputs, metadata={**self._outputs.metadata, "semantics": maps}))

    @cached_property
    def _outputs(self) -> DataparserOutputs:
        """Of the training photos, all labels included."""
        return self._parser.get_dataparser_outputs("train")

    @cached_property
    def test(self) -> LabelledDataset:
        """Held-out views; with `truth` the training photos, with the labels that they are scored on."""
        if self.truth is None:
            return LabelledDataset(self._parser.get_dataparser_outputs("test"))
        maps = _read_truth(self.truth, self._outputs.image_filenames, self.table)
        return LabelledDataset(replace(self._outputs, metadata={**self._outputs.metadata, "semantics": maps}))

    @property
    def table(self) -> ClassTable:
        """Classes of the scene."""
        return self.train.label_maps.table

    def dataset(self, split: str) -> LabelledDataset:
        """`train` or `test`."""
        return {"train": self.train, "test": self.test}[split]

    @property
    def labelled_views(self) -> List[int]:
        """Positions of the training photos whose labels methods may see."""
        return list(self.train.label_maps.labelled)

    @property
    def test_views(self) -> List[int]:
        """Positions, in the test split, of the views that are scored: the labelled ones.

        Raises:
            UserError: there are none, or they are trained on.
        """
        views = [*self.test.label_maps.labelled]
        photos, maps = self._outputs.image_filenames, self._outputs.metadata["semantics"]
        labelled = {photos[view] for view in maps.labelled}  # whatever number of them is learnt from
        held_out = [view for view in views if self.test.image_filenames[view] not in labelled]
        if not held_out:
            raise UserError(self._nothing_to_score())
        return held_out

    def _nothing_to_score(self) -> str:
        if self.truth is not None:
            return (
                f"No photo of {self.folder} can be scored on {self.truth}: it holds no {FORMS} of training photos that "
                "methods are not given the labels of."
            )
        return (
            f"{self.folder} holds no labelled view out, so that there is nothing to score methods on. Put labelled "
            "photos into its test split (see the README on own photos), or name a folder of labels with --truth."
        )

    @property
    def propagated_views(self) -> List[int]:
        """Positions of the unlabelled training photos whose truth is known all the same, as in the built-in town."""
        labelled = set(self.labelled_views)
        return [
            view
            for view in range(len(self.train))
            if view not in labelled and self._truth_file(self.train.image_filenames[view]).exists()
        ]

    def read(self, split: str, view: int, with_truth: bool = False) -> LabelledImage:
        """A photo with its labels.

        Args:
            split: `train` or `test`.
            view: position in it.
            with_truth: of an unlabelled training photo, the true labels, which no method may learn from unless its row
                says so.
        """
        dataset = self.dataset(split)
        image = np.ascontiguousarray(dataset.get_numpy_image(view)[..., :3])
        labels = dataset.label_maps.read(view, *image.shape[:2])[..., 0].numpy()
        path = dataset.image_filenames[view]
        if with_truth and (labels == IGNORE_INDEX).all():
            with Image.open(self._truth_file(path)) as file:
                labels = np.asarray(file).copy()
        return LabelledImage(path.stem, image, labels)

    def _truth_file(self, photo: Path) -> Path:
        return self.folder / "truth" / "train" / "label" / f"{photo.stem}.png"


def _read_truth(folder: Path, photos: List[Path], table: ClassTable) -> LabelMaps:
    """The labels of photos that methods are scored on.

    Raises:
        UserError: there is no such folder, or its labels are none of these photos.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} with labels to score on.")
    sizes = []
    for path in photos:
        with Image.open(path) as file:
            sizes.append(file.size)
    found = find_labels(folder, [path.stem for path in photos])
    return LabelMaps.of(prepare_labels(found, sizes, table), table)


def require_scene(folder: Path, truth: Optional[Path] = None) -> ComparedScene:
    """A scene, checked as far as reading it shows.

    Args:
        folder: of the scene.
        truth: as for `ComparedScene`.

    Raises:
        UserError: it cannot be compared on.
    """
    scene = ComparedScene(folder, truth=truth)
    _ = scene.train, scene.test_views
    return scene
