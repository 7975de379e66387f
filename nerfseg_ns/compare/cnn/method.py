"""A CNN on single photos as a method."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, replace
from typing import Any, Dict, List, Optional

import torch
import yaml

from nerfseg_ns.compare.cnn.config import CONFIGS, CNNConfig
from nerfseg_ns.compare.cnn.photos import TrainingPhoto, added_photos, labelled_photos
from nerfseg_ns.compare.method import ComparedMethod, Job
from nerfseg_ns.core.device import device_type
from nerfseg_ns.errors import UserError
from nerfseg_ns.evaluation.prediction import Prediction


class CNNMethod(ComparedMethod):
    """A network trained on the labelled photos, and on the labels that its row adds.

    Args:
        job: what to do.
        config: settings; those of the job's network unless given.

    Raises:
        UserError: MONAI is missing.
    """

    def __init__(self, job: Job, config: Optional[CNNConfig] = None) -> None:
        super().__init__(job)
        _require_monai()
        config = config or CONFIGS[job.info.network]
        self.config = replace(config, epochs=job.budget.cnn_epochs or config.epochs)
        self._device = torch.device(device_type())

    def train(self) -> None:
        """Finds the number of epochs on held-out labels, then learns from all of them.

        Raises:
            UserError: no pixel is labelled, or label maps that the method needs cannot be used.
        """
        from nerfseg_ns.compare.cnn.search import Learner

        job = self.job
        labelled = self._on_device(labelled_photos(job.scene))
        added = self._on_device(added_photos(job, self.config.min_confidence))
        learner = Learner(job.info.network, job.scene.table.names, self.config, job.seed)
        self._learnt = learner.learn(labelled, added)

    def predict(self, split: str, view: int) -> Dict[str, Prediction]:
        """Labels of a view from its own photo, as `observed`."""
        from nerfseg_ns.compare.cnn.inference import probabilities

        image = TrainingPhoto.of(self.job.scene.read(split, view)).to(self._device).image
        confidence, labels = probabilities(self._learnt.network, image, self._learnt.window).max(dim=0)
        prediction = Prediction(labels.byte().cpu().numpy(), confidence.clamp(0, 1).cpu().numpy())
        return {"observed": prediction}

    def facts(self) -> Dict[str, Any]:
        """Epochs trained, best held-out mIoU, number of weights."""
        return {
            "epochs": self._learnt.epochs,
            "held_out_miou": self._learnt.held_out_miou,
            "parameters": sum(weights.numel() for weights in self._learnt.network.parameters()),
        }

    def config_text(self) -> str:
        """All settings, as YAML."""
        return yaml.safe_dump({"network": self.job.info.network, **_plain(asdict(self.config))}, sort_keys=False)

    def _on_device(self, photos: List[TrainingPhoto]) -> List[TrainingPhoto]:
        return [photo.to(self._device) for photo in photos]


def _require_monai() -> None:
    if importlib.util.find_spec("monai") is None:
        raise UserError(
            "The networks on single photos need MONAI: pip install 'nerfseg[compare]' (or, from source, "
            "-e '.[compare]')."
        )


def _plain(value: Any) -> Any:
    """Without tuples, which YAML has no plain form of."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
