"""Maps the photos of a trained run: by what the run knows of the scene, and its eye."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from jaxtyping import UInt8
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.photo_names import name_photos
from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.eye.eye import Eye
from nerfseg_ns.runs.label_mapper import LabelMapper
from nerfseg_ns.runs.load import load_run
from nerfseg_ns.runs.scene import scene_of
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.photos import FOLDER, Picture, photos_in
from nerfseg_ns.segment.source import PhotoSource, digest_of
from nerfseg_ns.training.checkpoints import find_checkpoint


class RunSource(PhotoSource):
    """The photos of both splits of a run, and those of the scene's images/ that have no pose: these by its eye alone.

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
        own = scene_of(self.pipeline, config.load_config, scene)
        self._places: Dict[str, Tuple[LabelledDataset, int]] = {}
        datasets = (manager.train_dataset, manager.eval_dataset)
        placed = list(dict.fromkeys(path for data in datasets for path in data.image_filenames))
        unplaced = self._unplaced(own if own.is_dir() else own.parent, placed)
        names = name_photos(placed + unplaced)
        self.pictures = [Picture(names[path], path, None) for path in unplaced]
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

    def _unplaced(self, scene: Path, placed: List[Path]) -> List[Path]:
        """The photos without a pose, if the run has an eye that knows the classes; says what becomes of them."""
        names = {path.name for path in placed}  # they may be loaded from a folder of smaller copies
        unplaced = [path for path in photos_in(scene / FOLDER, deep=True) if path.name not in names]
        if not unplaced:
            return []
        count = f"{len(unplaced)} photos of {scene / FOLDER} are not in the run, for want of a pose"
        if self._eye is None:
            say(f"{count}: they get no maps. nerfseg segment {scene} maps them by the trained eye alone.")
            return []
        say(f"{count}: the run's eye alone maps them.")
        return unplaced

    @property
    def _eye(self) -> Optional[Eye]:
        """The run's eye, if it has learnt the classes."""
        eye = self.pipeline.model.eye
        return eye if eye is not None and bool(eye.is_learnt) else None

    def ready(self) -> None:
        """Nothing is left to learn."""
        self._mapper = LabelMapper(self.pipeline)

    def map(self, picture: Picture, photo: UInt8[ndarray, "height width 3"]) -> Prediction:
        if picture.name not in self._places:
            return as_prediction(self._eye.probabilities(torch.from_numpy(photo).float() / 255).log())
        dataset, index = self._places[picture.name]
        logits = self._mapper.photo_logits(dataset.cameras[index : index + 1], dataset.get_data(index)["image"])
        if logits.shape[:2] != photo.shape[:2]:  # photos may be loaded scaled down
            batch = logits.softmax(dim=-1).movedim(-1, 0)[None]
            batch = torch.nn.functional.interpolate(batch, size=photo.shape[:2], mode="bilinear")
            logits = batch[0].movedim(0, -1).clamp(min=1e-6).log()
        return as_prediction(logits)
