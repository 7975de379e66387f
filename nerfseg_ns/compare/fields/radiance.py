"""This project's methods in the comparison: stage 2 with or without R and C, on a stage 1 that all rows share."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Dict

from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from nerfseg_ns.compare.fields.field_method import FieldMethod
from nerfseg_ns.compare.fields.geometry import geometry_facts
from nerfseg_ns.compare.fields.run_config import METHOD_CONFIGS, method_config
from nerfseg_ns.compare.methods import Color
from nerfseg_ns.training.trainer import StagedTrainerConfig


class RadianceMethod(FieldMethod):
    """Learns the labels on the frozen geometry of `job.geometry`, with the method's own settings but for R and C."""

    def make_config(self) -> StagedTrainerConfig:
        job, info = self.job, self.job.info
        config = method_config(info.geometry, job.scene, job.seed, job.budget, job.folder)
        model = config.pipeline.model
        model.semantics.ray_convolution = info.ray_convolution
        model.semantics.color_radiance = info.color_radiance
        if not info.color_radiance:
            model.color_context.weight = 0.0  # it is a part of C
        if info.eye:
            shipped = METHOD_CONFIGS[info.geometry].pipeline.model
            model.eye, model.height = deepcopy(shipped.eye), deepcopy(shipped.height)
        config.stage1_from = job.geometry
        return config

    def render(self, camera: Cameras) -> Dict[str, Tensor]:
        if "observed" not in self.job.info.colors:
            return super().render(camera)
        with self.session.model.keeping_ray_features():  # to classify them with either color
            return super().render(camera)

    def logits(
        self, outputs: Dict[str, Tensor], photo: Float[Tensor, "height width 3"], color: Color
    ) -> Float[Tensor, "height width classes"]:
        if color == "observed":
            return self.session.model.classify_observed(outputs, photo)
        return super().logits(outputs, photo, color)

    def facts(self) -> Dict[str, Any]:
        """Seconds of both stages, set-up included (of stage 1 where they are known), and the quality of the views."""
        return {**geometry_facts(self.job.geometry), "stage2_seconds": self.seconds, **self.quality.summary()}
