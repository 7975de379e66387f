"""The trained eye alone as a method: what `nerfseg segment` makes of single photos."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict

import torch
import yaml

from nerfseg_ns.compare.method import ComparedMethod, Job
from nerfseg_ns.core.device import device_type
from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.eye.config import EyeConfig
from nerfseg_ns.eye.eye import Eye


class EyeMethod(ComparedMethod):
    """Learns from the labelled photos, sees each view by itself.

    Args:
        job: what to do.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.config = EyeConfig()

    def train(self) -> None:
        scene = self.job.scene
        pictures = [scene.read("train", view) for view in scene.labelled_views]
        pairs = [(torch.from_numpy(item.image).float() / 255, torch.from_numpy(item.labels)) for item in pictures]
        self._eye = Eye(self.config, len(scene.table)).to(device_type())
        self._eye.learn(pairs, self.job.seed)

    def predict(self, split: str, view: int) -> Dict[str, Prediction]:
        """Labels of a view from its own photo, as `observed`."""
        image = torch.from_numpy(self.job.scene.read(split, view).image).float() / 255
        return {"observed": as_prediction(self._eye.probabilities(image).log())}

    def facts(self) -> Dict[str, Any]:
        """Its skill on labels that it did not learn from."""
        return {"skill": float(self._eye.skill)}

    def config_text(self) -> str:
        """All settings, as YAML."""
        return yaml.safe_dump(asdict(self.config), sort_keys=False)
