"""Semantic-NeRF (Zhi et al. 2021) on this project's geometries: one field for colours and labels, learnt together."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Optional, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor
from torch.nn import Parameter

from nerfseg_ns.compare.fields.sample_logits import SampleLogitsConfig
from nerfseg_ns.geometry.base import RenderedLevel
from nerfseg_ns.model import NerfSegModel, NerfSegModelConfig
from nerfseg_ns.semantics.losses import label_loss
from nerfseg_ns.semantics.outputs import label_outputs
from nerfseg_ns.training.callback import SEMANTIC_GROUP
from nerfseg_ns.training.stages import Stage

LABEL_GROUP = "labels"
"""Parameter group of the label heads; like the geometry's groups, and unlike `SEMANTIC_GROUP`, it learns in stage 1."""
LEVEL_LOGITS = "level_logits"


@dataclass
class JointModelConfig(NerfSegModelConfig):
    """Config of the joint model."""

    _target: Type = field(default_factory=lambda: JointModel)
    semantics: SampleLogitsConfig = field(default_factory=SampleLogitsConfig)
    """How labels are read from the field."""
    label_weight: float = 0.04
    """Weight of the labels' cross-entropy beside the colours' loss (0.04 in the paper)."""
    training_colour: Literal["observed", "rendered", "mixed"] = "observed"
    """Unused: labels come from the place alone."""


class JointModel(NerfSegModel):
    """Learns labels with the colours, in what is stage 1 for `NerfSegModel`; there is no stage 2."""

    config: JointModelConfig

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = super().get_param_groups()
        labels = groups.pop(SEMANTIC_GROUP)
        return {**groups, LABEL_GROUP: labels}

    def set_stage(self, stage: Stage, step: int, progress: Tuple[int, int]) -> None:
        super().set_stage(stage, step, progress)
        self.semantics.requires_grad_(True)

    def _get_training_logits(self, ray_bundle: RayBundle, levels: List[RenderedLevel]) -> Dict[str, List[Tensor]]:
        return {LEVEL_LOGITS: self.semantics(levels)}

    def _get_label_outputs(
        self, level: RenderedLevel, rgb: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> Dict[str, Tensor]:
        return label_outputs(self.semantics.levels[-1](level), rgb, directions, self.palette)

    def get_loss_dict(
        self, outputs: Dict[str, Any], batch: Dict[str, Tensor], metrics_dict: Optional[Dict] = None
    ) -> Dict[str, Tensor]:
        losses = super().get_loss_dict(outputs, batch, metrics_dict)
        if LEVEL_LOGITS not in outputs:
            return losses
        labels = batch["semantics"].to(self.device)[..., 0].long()
        errors = torch.stack([label_loss(logits, labels) for logits in outputs[LEVEL_LOGITS]])
        return {**losses, "semantics_loss": self.config.label_weight * errors.sum()}
