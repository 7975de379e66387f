"""Label maps of photos and of rendered views, by a trained run."""

from __future__ import annotations

from typing import Tuple

import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.evaluation.prediction import Prediction, as_prediction
from nerfseg_ns.pictures.views import to_bytes
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.semantics.outputs import LOGITS


class LabelMapper:
    """Maps labels with a trained run.

    Args:
        pipeline: of the run.
    """

    def __init__(self, pipeline: NerfSegPipeline) -> None:
        self.model = pipeline.model.eval()

    @torch.no_grad()
    def map_photo(self, camera: Cameras, photo: Float[Tensor, "height width 3"]) -> Prediction:
        """The label map of a photo; the classifier is given the photo's own colors, 0 to 1."""
        return as_prediction(self.photo_logits(camera, photo))

    @torch.no_grad()
    def photo_logits(
        self, camera: Cameras, photo: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width classes"]:
        """Class logits of a photo; the classifier is given the photo's own colors, 0 to 1."""
        with self.model.keeping_ray_features():  # which the photo's colors are added to
            outputs = self.model.get_view(camera.to(self.model.device))
        return self.model.classify_observed(outputs, photo.to(self.model.device))

    @torch.no_grad()
    def render_view(self, camera: Cameras) -> Tuple[UInt8[ndarray, "height width 3"], Prediction]:
        """A view that nobody photographed: its rendered colors, and the label map that follows from them."""
        outputs = self.model.get_view(camera.to(self.model.device))
        return to_bytes(outputs["rgb"]), as_prediction(outputs[LOGITS])
