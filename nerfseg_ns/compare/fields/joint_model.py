"""Semantic-NeRF (Zhi et al. 2021) on this project's geometries: one field for colors and labels, learnt together."""

from dataclasses import dataclass, field
from typing import Dict, List, Type

from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from nerfseg_ns.core.stage import SEMANTIC_GROUP
from nerfseg_ns.geometry.base import RenderedLevel
from nerfseg_ns.model import NerfSegModel, NerfSegModelConfig
from nerfseg_ns.semantics.guidance import GuidanceConfig
from nerfseg_ns.semantics.losses import undo_smoothing
from nerfseg_ns.semantics.outputs import LOGITS


@dataclass
class JointModelConfig(NerfSegModelConfig):
    """Config of the joint model; `semantics` and `training_color` play no part, for there is no stage 2."""

    _target: Type = field(default_factory=lambda: JointModel)
    guidance: GuidanceConfig = field(default_factory=lambda: GuidanceConfig(weight=0.04))
    """How labels are read from the field, and their weight beside the colors' loss (0.04 in the paper)."""


class JointModel(NerfSegModel):
    """Says what guides stage 1 of a `NerfSegModel`; there is no stage 2."""

    config: JointModelConfig

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = super().get_param_groups()
        del groups[SEMANTIC_GROUP]
        return groups

    def _get_ray_labels(self, level: RenderedLevel, rgb: Float[Tensor, "rays 3"]) -> Dict[str, Tensor]:
        logits = self.guidance.logits.levels[-1](level.segments)
        return {LOGITS: undo_smoothing(logits, self.config.guidance.label_smoothing)}
