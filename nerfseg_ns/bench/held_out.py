"""Quick scores of a training that goes on: some pixels of the town's test views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.evaluation.depth import DepthScore, read_true_depth
from nerfseg_ns.evaluation.scores import SegmentationScores
from nerfseg_ns.runs.session import Session
from nerfseg_ns.semantics.outputs import LOGITS

STRIDES = {"nerfseg-fast": (1, 4)}
SLOW_STRIDES = (8, 8)
"""Every n-th pixel both ways is scored, for mIoU and for depth: fewer of the methods that render slowly. A method
whose labels depend on the pixels around needs all of them."""


@dataclass
class _View:
    """A test view, its labels and its depth."""

    rays: RayBundle
    labels: Int[Tensor, "height width"]
    depth: Float[ndarray, "height width"]


class HeldOut:
    """Scores of a session's model on test views, at the same pixels every time.

    Args:
        session: on the town.
        town: its folder.
        strides: every n-th pixel both ways is scored, for mIoU and for depth.
    """

    def __init__(self, session: Session, town: Path, strides: Tuple[int, int]) -> None:
        self.session = session
        self.label_stride, self.depth_stride = strides
        pipeline = session.trainer.pipeline
        dataset = pipeline.datamanager.eval_dataset
        self.views: List[_View] = []
        for index, photo in enumerate(dataset.image_filenames):
            rays = dataset.cameras.to(pipeline.device).generate_rays(camera_indices=index, keep_shape=True)
            depth = read_true_depth(town, photo.stem)
            labels = dataset.label_maps.read(index, *depth.shape)[..., 0]
            self.views.append(_View(rays, labels, depth))

    @torch.no_grad()
    def score(self) -> float:
        """Median relative depth error in stage 1, mIoU in stage 2."""
        self.session.trainer.pipeline.eval()
        return self._depth_error() if self.session.model.stage is Stage.IMPLICIT else self._miou()

    def _depth_error(self) -> float:
        score, step = DepthScore(), self.depth_stride
        for view in self.views:
            depth = self.session.model.get_outputs_for_camera_ray_bundle(view.rays[::step, ::step])["depth"]
            score.add(depth[..., 0].cpu().numpy(), view.depth[::step, ::step])
        return score.median()

    def _miou(self) -> float:
        scores, step = SegmentationScores(self.session.model.class_names), self.label_stride
        for view in self.views:
            outputs = self.session.model.get_outputs_for_camera_ray_bundle(view.rays[::step, ::step])
            scores.add("", outputs[LOGITS].argmax(dim=-1).cpu(), view.labels[::step, ::step])
        return scores.summary()["miou"]
