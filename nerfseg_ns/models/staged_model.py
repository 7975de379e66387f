"""Geometry and label modules, and which of them learn: the part of the model that knows of the stages."""

from __future__ import annotations

from typing import Dict, List, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.models.base_model import Model
from torch import Tensor
from torch.nn import Parameter

from nerfseg_ns.core.stage import EXPOSURE_GROUP, GUIDANCE_GROUP, SEMANTIC_GROUP, Stage
from nerfseg_ns.exposure.learnt_exposures import LearntExposures
from nerfseg_ns.geometry.base import Geometry, RenderedLevel
from nerfseg_ns.labels.label_maps import LabelMaps
from nerfseg_ns.models.config import StagedModelConfig
from nerfseg_ns.semantics.cached_rays import CachedRays
from nerfseg_ns.semantics.fusion import Fusion
from nerfseg_ns.semantics.label_modules import make_label_modules
from nerfseg_ns.viewer.labels_button import LabelsButton
from nerfseg_ns.viewer.markdown import ViewerMarkdown, legend, stage_text


class StagedModel(Model):
    """Learns a scene in stage 1, its labels in stage 2.

    The geometry is a module behind the small interface of `nerfseg_ns.geometry.base`; in the semantic stage it is
    rendered without gradients and in evaluation mode, so that it cannot move.

    Args:
        config: of the model.
        metadata: of the training split; `metadata["semantics"]` holds the label maps.
        **kwargs: as for nerfstudio's `Model`.
    """

    config: StagedModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        self.geometry: Geometry = self.config.geometry.setup()
        self.exposures = LearntExposures(self.num_train_data) if self.config.photo_exposures else None
        self.register_buffer("palette", torch.empty(0, 3), persistent=False)
        self.viewer_legend = ViewerMarkdown("Classes", "")
        self.viewer_labels = LabelsButton()
        self.set_classes(self.kwargs["metadata"]["semantics"])
        self.stage = Stage.IMPLICIT
        self.step = 0
        self.viewer_stage = ViewerMarkdown("Stage", stage_text(Stage.IMPLICIT, 0, 1))

    def set_classes(self, label_maps: LabelMaps) -> None:
        """Makes all that learns labels anew, unlearnt, for the classes of these labels."""
        self.class_names = list(label_maps.classes)
        self.palette = label_maps.colors.clone().to(self.palette.device)
        modules = make_label_modules(self.config, self.geometry, len(self.class_names), self.palette.device)
        for name, module in modules.items():
            setattr(self, name, module)
        self.viewer_legend.content = legend(self.class_names, label_maps.table.colors)

    @property
    def fusion(self) -> Fusion:
        """All that is known of a pixel's class."""
        return Fusion(self.semantics, self.taught, self.height, self.color_context, self.eye, self.config.eye)

    @property
    def rays_per_chunk(self) -> int:
        """Rays of a view that are rendered at once."""
        suitable = self.geometry.rays_per_chunk
        return self.config.eval_num_rays_per_chunk or suitable.get(self.device.type, suitable["cpu"])

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = {**self.geometry.get_param_groups(), SEMANTIC_GROUP: list(self.semantics.parameters())}
        if self.color_context is not None:
            groups[SEMANTIC_GROUP] += self.color_context.parameters()
        if self.taught is not None:
            groups[SEMANTIC_GROUP] += self.taught.parameters()
        if self.guidance is not None:
            groups[GUIDANCE_GROUP] = list(self.guidance.parameters())
        if self.exposures is not None:
            groups[EXPOSURE_GROUP] = list(self.exposures.parameters())
        return groups

    def set_stage(self, stage: Stage, step: int, progress: Tuple[int, int]) -> None:
        """Moves the model to a stage; doing it twice changes nothing.

        Args:
            stage: to move to.
            step: of stage 1; its length in stage 2.
            progress: steps done within the stage, and its length.
        """
        self.stage, self.step = stage, step
        self.geometry.freeze(stage is Stage.SEMANTIC)
        learns = dict.fromkeys((self.semantics, self.color_context, self.taught), Stage.SEMANTIC)
        learns[self.guidance] = learns[self.exposures] = Stage.IMPLICIT
        for module, when in learns.items():
            if module is not None:
                module.requires_grad_(stage is when)
        self.geometry.update_to_step(step)
        self.train(self.training)
        self.viewer_stage.content = stage_text(stage, *progress)

    def train(self, mode: bool = True) -> StagedModel:
        super().train(mode)
        if self.stage is Stage.SEMANTIC:
            self.geometry.eval()
        return self

    def render(self, ray_bundle: RayBundle) -> List[RenderedLevel]:
        """Renders the geometry; in the semantic stage its outputs are constants."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.stage is Stage.IMPLICIT):
            return self.geometry(ray_bundle)

    def render_colors(self, ray_bundle: RayBundle) -> Float[Tensor, "rays 3"]:
        """Colors of rays, 0 to 1."""
        return self.render(ray_bundle)[-1].rgb.clamp(0.0, 1.0)

    @torch.no_grad()
    def cache_rays(self, ray_bundle: RayBundle, batch: Dict[str, Tensor]) -> CachedRays:
        """Renders labelled rays once, for all the steps of stage 2 that they are drawn in.

        Args:
            ray_bundle: the rays.
            batch: their `image` colors [rays, 3] and `semantics` [rays, 1].
        """
        levels = self.render(ray_bundle)
        return CachedRays(
            self.semantics.choose_samples(levels),
            levels[-1].rgb.clamp(0.0, 1.0),
            batch["image"][..., :3].to(self.device),
            batch["semantics"].to(self.device)[..., 0].long(),
        )
