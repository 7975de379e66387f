"""Labels carried over through the rendered depth: what the geometry alone gives."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import torch
import yaml
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.compare.fields.geometry import geometry_facts
from nerfseg_ns.compare.fields.nearest_labels import NEIGHBOURS, NearestLabels
from nerfseg_ns.compare.fields.run_config import method_config
from nerfseg_ns.compare.fields.view_quality import ViewQuality
from nerfseg_ns.compare.method import ComparedMethod, Job
from nerfseg_ns.data.labelled_pixels import LabelledPixels
from nerfseg_ns.evaluation.prediction import Prediction
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.runs.load import load_stage1


class TransferMethod(ComparedMethod):
    """Lifts labelled and wanted pixels to where their rays end, and gives each the label of the nearest labelled ones.

    Args:
        job: what to do; `job.geometry` is the run whose depth is rendered.
    """

    pipeline: NerfSegPipeline
    known: NearestLabels
    seconds: float

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.config = method_config(job.info.geometry, job.scene, job.seed, job.budget, job.folder)
        self.config.stage1_from = job.geometry
        self.quality = ViewQuality(job.scene)

    def train(self) -> None:
        self.pipeline = load_stage1(self.config)
        self.seconds, self.known = seconds_of(self._lift_labels, self.config.machine.device_type)

    @torch.no_grad()
    def _lift_labels(self) -> NearestLabels:
        """All labelled pixels of the training photos as points."""
        manager, model = self.pipeline.datamanager, self.pipeline.model
        pixels = LabelledPixels(manager.train_dataset, manager.train_ray_generator)
        points, labels = [], []
        for view, count in pixels.share_out(len(pixels)):
            for rays, batch in pixels.rays(view, count, model.rays_per_chunk):
                points.append(lift(rays, model(rays)["depth"]))
                labels.append(batch["semantics"][:, 0].cpu().numpy())
        return NearestLabels(np.concatenate(points), np.concatenate(labels), len(model.class_names))

    @torch.no_grad()
    def predict(self, split: str, view: int) -> Dict[str, Prediction]:
        dataset, model = self.job.scene.dataset(split), self.pipeline.model
        rays = dataset.cameras[view : view + 1].to(model.device).generate_rays(camera_indices=0, keep_shape=True)
        outputs = model.get_outputs_for_camera_ray_bundle(rays)
        if split == "test":
            self.quality.add(view, outputs, dataset.get_data(view)["image"].to(model.device))
        points = lift(rays, outputs["depth"])
        labels, confidence = self.known.at(points.reshape(-1, 3))
        return {"rendered": Prediction(labels.reshape(points.shape[:2]), confidence.reshape(points.shape[:2]))}

    def facts(self) -> Dict[str, Any]:
        """Seconds of stage 1, where they are known, and of lifting the labels; the quality of the views."""
        return {**geometry_facts(self.job.geometry), "lifting_seconds": self.seconds, **self.quality.summary()}

    def config_text(self) -> str:
        vote = f"# The {NEIGHBOURS} nearest labelled points vote with the inverse of their distance.\n"
        return vote + yaml.dump(self.config)


def lift(rays: RayBundle, depth: Float[Tensor, "*rays 1"]) -> Float[ndarray, "*rays 3"]:
    """Where rays end, given their lengths."""
    return (rays.origins + depth * rays.directions).cpu().numpy()
