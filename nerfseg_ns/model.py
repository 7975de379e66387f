"""The model of both methods: a geometry (stage 1) and the semantic stage on top of it (stage 2)."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, Optional, Tuple, Type, Union

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.utils import colormaps
from torch import Tensor
from torch.nn.functional import mse_loss

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.evaluation.image_quality import image_quality, psnr
from nerfseg_ns.evaluation.scores import SegmentationScores
from nerfseg_ns.exposure.exposure import find_exposure
from nerfseg_ns.models.config import StagedModelConfig
from nerfseg_ns.models.view_model import ViewModel
from nerfseg_ns.semantics.batch import PATCH_LABELS, TAUGHT_LABELS, SemanticBatch
from nerfseg_ns.semantics.cached_rays import CachedRays
from nerfseg_ns.semantics.guidance import LABELLED
from nerfseg_ns.semantics.losses import label_loss
from nerfseg_ns.semantics.outputs import LOGITS

GUIDANCE_LOGITS, CONTEXT_LOGITS = "guidance_logits", "context_logits"


@dataclass
class NerfSegModelConfig(StagedModelConfig):
    """Config of the model."""

    _target: Type = field(default_factory=lambda: NerfSegModel)


class NerfSegModel(ViewModel):
    """What the stages learn from, their losses, and the scores of views."""

    config: NerfSegModelConfig
    scores: Optional[SegmentationScores] = None

    def get_outputs(self, ray_bundle: Union[RayBundle, SemanticBatch]) -> Dict[str, Any]:
        """What a step learns from, of rays of photos in stage 1 and of a batch of stage 2; of other rays, see
        `get_loose_ray_outputs`."""
        if isinstance(ray_bundle, SemanticBatch):
            return self._get_semantic_outputs(ray_bundle)
        if self.training and self.stage is Stage.IMPLICIT:
            return self._get_geometry_outputs(ray_bundle)
        return self.get_loose_ray_outputs(ray_bundle)

    def _get_geometry_outputs(self, ray_bundle: RayBundle) -> Dict[str, Any]:
        """Rendered levels of stage 1, and the logits of its guidance, if it has any.

        They belong to the forward pass, not to the loss: data-parallel training only sees what happens here.
        """
        levels = self.render(ray_bundle)
        finest, labelled = levels[-1], ray_bundle.metadata.get(LABELLED)  # a view does not know what is labelled
        outputs = {"rgb": finest.rgb, "depth": finest.depth, "accumulation": finest.accumulation, "levels": levels}
        if self.exposures is not None and ray_bundle.camera_indices is not None:
            photos = ray_bundle.camera_indices[..., 0]
            outputs["levels"] = [replace(level, rgb=self.exposures.shown(level.rgb, photos)) for level in levels]
            outputs["rgb"] = outputs["levels"][-1].rgb
        if self.guidance is not None and labelled is not None:
            outputs[GUIDANCE_LOGITS] = self.guidance(levels, labelled)
        return outputs

    def _get_semantic_outputs(self, batch: SemanticBatch) -> Dict[str, Any]:
        """Logits of stage 2: of the user's labels, of patches of photos, of what the eye has labelled."""
        outputs = {"rgb": batch.rays.rendered}
        outputs.update(self.semantics.get_logits(batch.rays.levels, self._training_color(batch.rays)))
        if batch.patches is not None:
            outputs[CONTEXT_LOGITS] = self.color_context(batch.patches.to(self.device))
        if batch.taught is not None:
            outputs.update(self.taught.get_logits(batch.taught.levels, self._training_color(batch.taught)))
        return outputs

    def _training_color(self, rays: CachedRays) -> Float[Tensor, "rays 3"]:
        """The color that stage 2 is trained on."""
        if self.config.training_color == "mixed":
            return torch.where(torch.rand_like(rays.observed[:, :1]) < 0.5, rays.observed, rays.rendered)
        return rays.rendered if self.config.training_color == "rendered" else rays.observed

    @contextmanager
    def scoring(self) -> Iterator[SegmentationScores]:
        """Within it, `get_image_metrics_and_images` adds its views to the scores, also with their photos' colors."""
        self.scores = SegmentationScores(self.class_names)
        try:
            with self.keeping_ray_features():
                yield self.scores
        finally:
            self.scores = None

    def get_outputs_for_camera(self, camera: Cameras, obb_box: Optional[OrientedBox] = None) -> Dict[str, Tensor]:
        """As nerfstudio's viewer wants it; while views are scored, with the logits as they are."""
        return (
            super().get_outputs_for_camera(camera, obb_box) if self.scores is None else self.get_view(camera, obb_box)
        )

    def get_metrics_dict(self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        image = batch["image"].to(self.device)
        return {"psnr": psnr(outputs["rgb"].detach(), image)}

    def get_loss_dict(
        self, outputs: Dict[str, Any], batch: Dict[str, Tensor], metrics_dict: Optional[Dict] = None
    ) -> Dict[str, Tensor]:
        image, labels = batch["image"].to(self.device), batch["semantics"].to(self.device)[..., 0].long()
        if "f2s_logits" in outputs:
            return self._get_semantic_losses(outputs, batch, labels)
        if "levels" in outputs:
            losses = self.geometry.get_losses(outputs["levels"], image, self.step)
            if self.exposures is not None:
                losses["exposure_loss"] = self.exposures.get_loss()
            if GUIDANCE_LOGITS in outputs:
                losses["guidance_loss"] = self.guidance.get_loss(outputs[GUIDANCE_LOGITS], labels)
            return losses
        losses = {"rgb_loss": mse_loss(outputs["rgb"], image)}  # rays of an evaluation batch
        return {**losses, "f2s_loss": label_loss(outputs[LOGITS], labels)} if LOGITS in outputs else losses

    def _get_semantic_losses(
        self, outputs: Dict[str, Any], batch: Dict[str, Tensor], labels: Int[Tensor, "rays"]
    ) -> Dict[str, Tensor]:
        losses = self.semantics.get_losses(outputs, labels)
        if CONTEXT_LOGITS in outputs:
            patches = batch[PATCH_LABELS].to(self.device)
            losses["context_loss"] = self.color_context.get_loss(outputs[CONTEXT_LOGITS], patches)
        if TAUGHT_LABELS in batch:
            losses.update(self.taught.get_losses(outputs, batch[TAUGHT_LABELS]))
        return losses

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        image, rgb = batch["image"].to(self.device), outputs["rgb"]
        self._score(outputs, batch["semantics"], image)
        quality = image_quality(rgb, image)
        if self.exposures is not None:
            rgb = find_exposure(rgb, image).shown(rgb)
            quality = {**image_quality(rgb, image), "psnr_neutral": quality["psnr"]}
        images = {
            "img": torch.cat([image, rgb], dim=1),
            "depth": colormaps.apply_depth_colormap(outputs["depth"], accumulation=outputs["accumulation"]),
            "semantics": torch.cat([self.color_labels(batch["semantics"]), outputs["semantics_colormap"]], dim=1),
        }
        return quality, images

    def color_labels(self, labels: Tensor) -> Float[Tensor, "height width 3"]:
        """A label map [height, width, 1] in the classes' colors, black where not labelled."""
        table = torch.cat([self.palette, self.palette.new_zeros(256 - len(self.palette), 3)])
        return table[labels[..., 0].to(self.device).long()]

    def _score(self, outputs: Dict[str, Tensor], labels: Tensor, image: Float[Tensor, "height width 3"]) -> None:
        """Adds a view to the scores, once with the rendered color and once with the observed one."""
        if self.scores is None or self.stage is Stage.IMPLICIT:
            return
        self.scores.add("", outputs[LOGITS].argmax(dim=-1), labels[..., 0])
        self.scores.add("observed/", self.classify_observed(outputs, image).argmax(dim=-1), labels[..., 0])
