"""What the labels tell stage 1: the density learns to keep apart what they keep apart, before stage 2 freezes it."""

from dataclasses import dataclass, field
from typing import List, Tuple, Type

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from nerfseg_ns.geometry.base import LevelLayout, RenderedLevel
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.semantics.losses import label_loss
from nerfseg_ns.semantics.sample_logits import SampleLogits, SampleLogitsConfig

LABELLED = "labelled"
"""Key in `RayBundle.metadata` of whether the pixel of each ray is labelled."""


@dataclass
class GuidanceConfig(InstantiateConfig):
    """How the labels take part in stage 1."""

    _target: Type = field(default_factory=lambda: LabelGuidance)
    weight: float = 0.0
    """Weight of the labels' cross-entropy beside the colors' loss in stage 1. 0 learns the scene from the photos
    alone, as in the paper; a hundredth makes labelled things stand out from what lies behind them. Labels that come
    after stage 1 change nothing of it. Labelled pixels are drawn for it by a `GuidedPixelSamplerConfig`, as
    nerfseg-fast has it; without, only those guide that are met by chance."""
    logits: SampleLogitsConfig = field(default_factory=SampleLogitsConfig)
    """How labels are read from the field in stage 1; stage 2 has modules of its own."""
    label_smoothing: float = 0.0
    """As in the semantic stage."""
    class_balance: float = 0.0
    """As in the semantic stage."""


class LabelGuidance(nn.Module):
    """Label heads on the samples (Semantic-NeRF, Zhi et al. 2021), whose gradients reach the density.

    Args:
        config: of the heads and their loss.
        levels: layout of the geometry's levels, coarse to fine.
        num_classes: number of classes.
    """

    def __init__(self, config: GuidanceConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.logits: SampleLogits = config.logits.setup(levels=levels, num_classes=num_classes)

    def forward(
        self, levels: List[RenderedLevel], labelled: Bool[Tensor, "rays 1"]
    ) -> List[Float[Tensor, "labelled classes"]]:
        """Logits of the labelled rays at every cascade level; the others are not worth the time."""
        return self.logits([[segment[labelled[:, 0]] for segment in level.segments] for level in levels])

    def get_loss(
        self, logits: List[Float[Tensor, "labelled classes"]], labels: Int[Tensor, "rays"]
    ) -> Float[Tensor, ""]:
        """Weighted cross-entropy over the labelled rays, summed over the levels.

        Args:
            logits: from `forward`.
            labels: class indices of all rays, IGNORE_INDEX where not labelled.
        """
        config, known = self.config, labels[labels != IGNORE_INDEX]
        errors = [label_loss(level, known, config.label_smoothing, config.class_balance) for level in logits]
        return config.weight * torch.stack(errors).sum()
