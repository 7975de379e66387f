"""Stage 2 of the method: semantics on top of a frozen geometry, whichever geometry that is."""

from dataclasses import dataclass, field
from typing import Dict, List, Tuple, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from nerfseg_ns.geometry.base import LevelLayout, RenderedLevel
from nerfseg_ns.semantics.level import LevelSemantics
from nerfseg_ns.semantics.losses import label_loss


@dataclass
class SemanticStageConfig(InstantiateConfig):
    """The semantic modules. The three rows of the paper's Table III are: both switches off, the first on, both on."""

    _target: Type = field(default_factory=lambda: SemanticStage)
    ray_convolution: bool = True
    """Convolve the semantic features along each ray (R). Off only to measure what it brings."""
    colour_radiance: bool = True
    """Give the classifier the colour of the pixel (C). Switch off where colours mislead, as in changing light."""
    hidden_dim: int = 256
    """Inner width of the Seg-MLP (256 in the paper); smaller is faster."""
    feature_dim: int = 128
    """Width of the semantic feature (128 in the paper); smaller is faster."""
    kernel_sizes: Tuple[int, ...] = (3, 5)
    """Kernel of the ray convolution at each cascade level, coarse to fine, odd; the last one serves any level left."""
    colour_widths: Tuple[int, int] = (16, 64)
    """Widths of the colour-radiance network's two layers."""
    position_resolutions: Tuple[int, ...] = ()
    """Cells along the ground of learnable position features beside the location feature, one entry a scale; none in the
    paper. A grid's location features hardly tell where a sample is; these let a labelled place keep its label in all
    views."""
    position_dropout: float = 0.0
    """Share of the training rays from which the position features are hidden. More where much of the scene is seen in
    no labelled photo."""


class SemanticStage(nn.Module):
    """Semantic modules of every cascade level, their loss and their outputs.

    Args:
        config: which modules, how wide.
        levels: layout of the geometry's levels, coarse to fine.
        num_classes: number of classes.
    """

    def __init__(self, config: SemanticStageConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> None:
        super().__init__()
        kernels = config.kernel_sizes + (config.kernel_sizes[-1],) * len(levels)
        self.levels = nn.ModuleList(
            [
                LevelSemantics(
                    layout,
                    num_classes,
                    config.hidden_dim,
                    config.feature_dim,
                    kernel if config.ray_convolution else None,
                    config.colour_widths if config.colour_radiance else None,
                    config.position_resolutions,
                    config.position_dropout,
                )
                for layout, kernel in zip(levels, kernels)
            ]
        )

    def render_features(self, rendered: RenderedLevel) -> Tuple[List[Tensor], List[Tensor]]:
        """Rendered features of the finest level's segments and the transmittance before each of them."""
        return self.levels[-1].render_features(rendered.segments), [s.transmittance for s in rendered.segments]

    def classify(
        self, features: List[Tensor], transmittances: List[Tensor], rgb: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays classes"]:
        """Logits of the finest level, given the colour of the pixels (rendered or observed)."""
        level = self.levels[-1]
        return level.classify(features, transmittances, level.colour_features(rgb))

    def get_losses(
        self, rendered: List[RenderedLevel], rgb: Float[Tensor, "rays 3"], labels: Int[Tensor, "rays"]
    ) -> Dict[str, Float[Tensor, ""]]:
        """Cross-entropy of F2S and of C2S, summed over the cascade levels."""
        losses = {"f2s_loss": torch.zeros((), device=rgb.device)}
        for level, render in zip(self.levels, rendered):
            colour = level.colour_features(rgb)
            features = level.render_features(render.segments)
            logits = level.classify(features, [s.transmittance for s in render.segments], colour)
            losses["f2s_loss"] = losses["f2s_loss"] + label_loss(logits, labels)
            if level.c2s is not None:
                losses["c2s_loss"] = losses.get("c2s_loss", 0.0) + label_loss(level.c2s(colour), labels)
        return losses
