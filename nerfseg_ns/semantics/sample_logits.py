"""Semantic-NeRF's label heads: class logits at every sample, volume-rendered."""

from dataclasses import dataclass, field
from typing import List, Tuple, Type

import torch
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.field_components.mlp import MLP
from nerfstudio.model_components.renderers import SemanticRenderer
from torch import Tensor, nn

from nerfseg_ns.geometry.base import LevelLayout, RaySegment, composite
from nerfseg_ns.semantics.position_features import PositionFeatures


@dataclass
class SampleLogitsConfig(InstantiateConfig):
    """How class logits are read from the field."""

    _target: Type = field(default_factory=lambda: SampleLogits)
    hidden_dim: int = 128
    """Width of the heads' hidden layer (128 in the paper, half of its location feature's)."""
    position_resolutions: Tuple[int, ...] = ()
    """Cells along the ground of learnable position features beside the location feature, one entry a scale; none in the
    paper. Give a geometry with a small location feature the same ones as `SemanticStageConfig` has."""
    position_dropout: float = 0.0
    """Share of the training rays from which the position features are hidden."""


class SampleLogits(nn.Module):
    """The label heads of every cascade level.

    Args:
        config: of the heads.
        levels: layout of the geometry's levels, coarse to fine.
        num_classes: number of classes.
    """

    def __init__(self, config: SampleLogitsConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([LevelLogits(config, layout, num_classes) for layout in levels])

    def forward(self, levels: List[List[RaySegment]]) -> List[Float[Tensor, "rays classes"]]:
        """Logits of the rays, given the segments of every cascade level."""
        return [logits(segments) for logits, segments in zip(self.levels, levels)]


class LevelLogits(nn.Module):
    """An MLP from the location feature to class logits for each segment of the rays.

    The direction plays no part, and gradients reach the density through the weights. The light that no sample absorbs
    has logits of its own, as the sky has a color of its own: the paper's scenes are rooms.

    Args:
        config: of the heads.
        layout: of the level.
        num_classes: number of classes.
    """

    def __init__(self, config: SampleLogitsConfig, layout: LevelLayout, num_classes: int) -> None:
        super().__init__()
        self.position_features = PositionFeatures(config.position_resolutions, config.position_dropout)
        dims = [dim + self.position_features.out_dim for dim in layout.feature_dims]
        self.heads = nn.ModuleList([MLP(dim, 2, config.hidden_dim, num_classes) for dim in dims])
        self.behind = nn.Parameter(torch.zeros(num_classes))
        self.renderer = SemanticRenderer()

    def forward(self, segments: List[RaySegment]) -> Float[Tensor, "rays classes"]:
        """Logits of the rays."""
        transmittances = [segment.transmittance for segment in segments]
        logits = [self.renderer(head(self._inputs(part)), part.weights) for head, part in zip(self.heads, segments)]
        absorbed = composite([segment.weights.sum(dim=-2) for segment in segments], transmittances)
        return composite(logits, transmittances) + (1.0 - absorbed) * self.behind

    def _inputs(self, segment: RaySegment) -> Float[Tensor, "rays samples width"]:
        """Location features, with the position features where there are some."""
        if not self.position_features.out_dim:
            return segment.features
        return torch.cat([segment.features, self.position_features(segment.positions)], dim=-1)
