"""The images of a training set: photos of a scene and views between them, with given or mapped labels."""

from __future__ import annotations

from typing import Dict, Iterator, List

from nerfseg_ns.augment.config import AugmentConfig
from nerfseg_ns.augment.novel_views import NovelView, views_between
from nerfseg_ns.augment.training_set import Item
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.photo_names import name_photos
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.pictures.views import to_bytes
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.runs.label_mapper import LabelMapper

NOVEL = "novel-view-{:04d}"
"""Name of a view that nobody photographed."""


class ImageSource:
    """Makes the images one by one. A photo that is in several splits is made once and listed in each.

    Args:
        pipeline: of the run that maps the labels.
        config: what is asked for.

    Raises:
        UserError: there is no room for novel views.
    """

    def __init__(self, pipeline: NerfSegPipeline, config: AugmentConfig) -> None:
        manager = pipeline.datamanager
        self.train: LabelledDataset = manager.train_dataset
        self.datasets: Dict[str, LabelledDataset] = {
            split: self.train if split == "train" else LabelledDataset(manager.dataparser.get_dataparser_outputs(split))
            for split in config.splits
        }
        photos = dict.fromkeys(path for dataset in self.datasets.values() for path in dataset.image_filenames)
        self.names = name_photos(list(photos))
        self.novel: List[NovelView] = []
        if config.novel_views:
            self.novel = views_between(self.train.cameras, config.novel_views)
        self._mapper, self._min_confidence = LabelMapper(pipeline), config.min_confidence

    def __len__(self) -> int:
        return len(self.names) + len(self.novel)

    @property
    def splits(self) -> Dict[str, List[str]]:
        """Names of each split's images; novel views belong to the training set."""
        names = {
            split: [self.names[path] for path in dataset.image_filenames] for split, dataset in self.datasets.items()
        }
        if self.novel:
            names.setdefault("train", []).extend(NOVEL.format(index) for index in range(len(self.novel)))
        return names

    def __iter__(self) -> Iterator[Item]:
        waiting = dict(self.names)
        for dataset in self.datasets.values():
            for index, path in enumerate(dataset.image_filenames):
                if path in waiting:
                    yield self._photo(dataset, index, waiting.pop(path))
        for index, view in enumerate(self.novel):
            yield self._novel(view, NOVEL.format(index))

    def _photo(self, dataset: LabelledDataset, index: int, name: str) -> Item:
        """A photo with the labels that it came with or, where it has none, those of the run."""
        data = dataset.get_data(index)
        image, labels = to_bytes(data["image"]), data["semantics"][..., 0].numpy()
        origin = dict(source="photo", photo=str(dataset.image_filenames[index]))
        if (labels != IGNORE_INDEX).any():
            return Item.given(name, image, labels, **origin)
        found = self._mapper.map_photo(dataset.cameras[index : index + 1], data["image"])
        return Item.mapped(name, image, found.labels, found.confidence, self._min_confidence, **origin)

    def _novel(self, view: NovelView, name: str) -> Item:
        image, found = self._mapper.render_view(view.camera)
        between = [str(self.train.image_filenames[position]) for position in view.between]
        origin = dict(source="novel view", between=between)
        return Item.mapped(name, image, found.labels, found.confidence, self._min_confidence, **origin)
