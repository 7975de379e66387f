"""Maps the photos of a trained run: by what the run knows of the scene, and its eye."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from jaxtyping import UInt8
from numpy import ndarray

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.photo_names import name_photos
from nerfseg_ns.errors import UserError
from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.runs.label_mapper import LabelMapper
from nerfseg_ns.runs.load import load_run
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.pictures import Picture
from nerfseg_ns.segment.source import PhotoSource, digest_of
from nerfseg_ns.training.checkpoints import find_checkpoint


class RunSource(PhotoSource):
    """The photos of both splits of a run.

    Args:
        scene: folder that the run must be of, if it is named.
        config: names the run.

    Raises:
        UserError: the run cannot be used, or is of another scene.
    """

    learnt = "The run has learnt the labels"

    def __init__(self, scene: Optional[Path], config: SegmentConfig) -> None:
        self.pipeline = load_run(config.load_config)
        manager = self.pipeline.datamanager
        own = Path(manager.dataparser.config.data).resolve()
        if scene is not None and scene.resolve() not in (own, own.parent):
            raise UserError(f"{config.load_config} is of a run on {own}, not on {scene}. Leave the scene out.")
        self._places: Dict[str, Tuple[LabelledDataset, int]] = {}
        datasets = (manager.train_dataset, manager.eval_dataset)
        names = name_photos(list(dict.fromkeys(path for data in datasets for path in data.image_filenames)))
        self.pictures = []
        for dataset in datasets:
            for index, path in enumerate(dataset.image_filenames):
                if names[path] not in self._places:
                    label = dataset.label_maps.labels[index] if dataset is manager.train_dataset else None
                    self._places[names[path]] = dataset, index
                    self.pictures.append(Picture(names[path], path, label))
        self.table = manager.train_dataset.label_maps.table
        checkpoint = find_checkpoint(config.load_config)
        facts = {"checkpoint": str(checkpoint.resolve()), "time": checkpoint.stat().st_mtime_ns}
        self.digest = digest_of(self.pictures, self.table, facts)

    def ready(self) -> None:
        """Nothing is left to learn."""
        self._mapper = LabelMapper(self.pipeline)

    def map(self, picture: Picture, photo: UInt8[ndarray, "height width 3"]) -> Prediction:
        dataset, index = self._places[picture.name]
        logits = self._mapper.photo_logits(dataset.cameras[index : index + 1], dataset.get_data(index)["image"])
        if logits.shape[:2] != photo.shape[:2]:  # photos may be loaded scaled down
            batch = logits.softmax(dim=-1).movedim(-1, 0)[None]
            batch = torch.nn.functional.interpolate(batch, size=photo.shape[:2], mode="bilinear")
            logits = batch[0].movedim(0, -1).clamp(min=1e-6).log()
        return as_prediction(logits)
