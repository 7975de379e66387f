"""What the compared radiance fields have in common: trained step by step in this process, then rendered."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Dict

import torch
import yaml
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.trainer import TrainerConfig
from torch import Tensor

from nerfseg_ns.compare.fields.view_quality import ViewQuality
from nerfseg_ns.compare.method import ComparedMethod, Job
from nerfseg_ns.compare.methods import Color
from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.runs.session import Session
from nerfseg_ns.semantics.outputs import LOGITS


class FieldMethod(ComparedMethod):
    """A radiance field with labels.

    Args:
        job: what to do.

    Attributes:
        config: of the training.
        session: the training, once `train` has run.
        seconds: that it took, set-up included.
    """

    session: Session
    seconds: float

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.config = self.make_config()
        self.quality = ViewQuality(job.scene)

    @abstractmethod
    def make_config(self) -> TrainerConfig:
        """Config of the training."""

    def train(self) -> None:
        self.seconds, self.session = seconds_of(self._learn, self.config.machine.device_type)

    def _learn(self) -> Session:
        session = Session(self.config)
        session.run_to(session.config.max_num_iterations)  # of staged trainers it is filled in when they are set up
        session.trainer.pipeline.eval()
        return session

    @torch.no_grad()
    def predict(self, split: str, view: int) -> Dict[str, Prediction]:
        dataset, device = self.job.scene.dataset(split), self.session.model.device
        outputs = self.render(dataset.cameras[view : view + 1].to(device))
        photo = dataset.get_data(view)["image"].to(device)
        if split == "test":
            self.quality.add(view, outputs, photo)
        return {color: as_prediction(self.logits(outputs, photo, color)) for color in self.job.info.colors}

    def render(self, camera: Cameras) -> Dict[str, Tensor]:
        """The model's outputs [height, width, channels] for a view, `rgb` and `depth` among them."""
        rays = camera.generate_rays(camera_indices=0, keep_shape=True)
        return self.session.model.get_outputs_for_camera_ray_bundle(rays)

    def logits(
        self, outputs: Dict[str, Tensor], photo: Float[Tensor, "height width 3"], color: Color
    ) -> Float[Tensor, "height width classes"]:
        """Class logits of a rendered view.

        Args:
            outputs: from `render`.
            photo: of the view.
            color: that the classifier is given, where it asks for one.
        """
        return outputs[LOGITS]

    def facts(self) -> Dict[str, Any]:
        """`training_seconds`, and the quality of the test views that labels were asked for (see `ViewQuality`)."""
        return {"training_seconds": self.seconds, **self.quality.summary()}

    def config_text(self) -> str:
        return yaml.dump(self.config)
