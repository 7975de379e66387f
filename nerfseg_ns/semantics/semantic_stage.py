"""Stage 2 of the method: semantics on top of a frozen geometry, whichever geometry that is."""

import math
from dataclasses import dataclass, field
from typing import Dict, List, Tuple, Type

import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from nerfseg_ns.core.older_runs import OlderConfig
from nerfseg_ns.geometry.base import LevelLayout, RaySegment, RenderedLevel
from nerfseg_ns.semantics.level import LevelSemantics
from nerfseg_ns.semantics.losses import label_loss
from nerfseg_ns.semantics.member import SemanticMember
from nerfseg_ns.semantics.top_k_samples import mask_low_weights, top_k_samples


@dataclass
class SemanticStageConfig(OlderConfig, InstantiateConfig):
    """The semantic modules. The three rows of the paper's Table III are: both switches off, the first on, both on."""

    renamed_fields = {"colour_radiance": "color_radiance", "colour_widths": "color_widths"}

    _target: Type = field(default_factory=lambda: make_semantic_stage)
    ray_convolution: bool = True
    """Convolve the semantic features along each ray (R). Off only to measure what it brings."""
    color_radiance: bool = True
    """Give the classifier the color of the pixel (C). Switch off where colors mislead, as in changing light, and
    `pipeline.model.color-context.weight` with it."""
    hidden_dim: int = 256
    """Inner width of the Seg-MLP (256 in the paper); smaller is faster."""
    feature_dim: int = 128
    """Width of the semantic feature (128 in the paper); smaller is faster."""
    kernel_sizes: Tuple[int, ...] = (3, 5)
    """Kernel of the ray convolution at each cascade level, coarse to fine, odd; the last one serves any level left."""
    color_widths: Tuple[int, int] = (16, 64)
    """Widths of the color-radiance network's two layers."""
    max_samples: int = 0
    """Samples of each ray, in each of its segments, that the semantic modules see: those of most weight, convolved as
    if nothing lay between them. Fewer make stage 2 and label maps faster; 0 takes all, as in the paper."""
    min_weight: float = 0.0
    """Samples that weigh less count for nothing. A ten-thousandth changes hardly a pixel and saves most of the work
    where rays have many samples; 0 leaves none out, as in the paper."""
    position_resolutions: Tuple[int, ...] = ()
    """Cells along the ground of learnable position features beside the location feature, one entry a scale; none in the
    paper. A grid's location features hardly tell where a sample is; these let a labelled place keep its label in all
    views."""
    position_dropout: float = 0.0
    """Share of the training rays from which the position features are hidden. More where much of the scene is seen in
    no labelled photo."""
    heads: int = 1
    """Copies of all semantic modules, each of which learns from its share of the rays of a step; their probabilities
    are averaged. Two are wrong less often than one that learns from all of the rays; label maps take longer. 1 in the
    paper."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes. A tenth helps where few photos are labelled: pixels along
    borders are often lifted to the wrong surface. 0 in the paper."""
    class_balance: float = 0.0
    """Lets rare classes count for more: a class weighs as its share of the labelled rays to the power of minus this.
    0.25 finds more of what is small, at hardly any cost elsewhere; 0 counts all pixels alike, as in the paper."""


class SemanticStage(nn.Module):
    """Semantic modules of every cascade level, their loss and their outputs.

    There are as many members as the config has heads, cheap over one frozen geometry: they differ in their first
    weights and in the rays that they learn from, and their mean is better than each of them.

    Args:
        config: which modules, how wide, how many heads.
        levels: layout of the geometry's levels, coarse to fine.
        num_classes: number of classes.
    """

    def __init__(self, config: SemanticStageConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_segments = len(levels[-1].feature_dims)
        self.members = nn.ModuleList([_member(config, levels, num_classes) for _ in range(config.heads)])

    @property
    def rendered_width(self) -> int:
        """Numbers of a rendered feature: those of all members."""
        return self.config.heads * self.config.feature_dim

    def choose_samples(self, levels: List[RenderedLevel]) -> List[List[RaySegment]]:
        """The segments of cascade levels with the samples that the semantic modules see."""
        return [[self._choose(segment) for segment in level.segments] for level in levels]

    def _choose(self, segment: RaySegment) -> RaySegment:
        count = self.config.max_samples or segment.weights.shape[1]
        return mask_low_weights(top_k_samples(segment, count), self.config.min_weight)

    def render_features(self, rendered: RenderedLevel) -> Tuple[List[Tensor], List[Tensor]]:
        """Rendered features of the finest level's segments and the transmittance before each of them."""
        (segments,) = self.choose_samples([rendered])
        return self.render_chosen(segments), [segment.transmittance for segment in segments]

    def render_chosen(self, segments: List[RaySegment]) -> List[Float[Tensor, "rays feature"]]:
        """Rendered features of the finest level's segments, with the samples that were chosen; those of all members
        side by side."""
        features = [member.render_features(segments) for member in self.members]
        return [torch.cat(segment, dim=-1) for segment in zip(*features)]

    def classify(
        self, features: List[Tensor], transmittances: List[Tensor], rgb: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays classes"]:
        """Logits of the finest level, given the color of the pixels (rendered or observed): of several members, the
        logarithms of their mean class probabilities."""
        shares = zip(*(segment.chunk(len(self.members), dim=-1) for segment in features))
        logits = [member.classify(list(own), transmittances, rgb) for member, own in zip(self.members, shares)]
        if len(logits) == 1:
            return logits[0]
        return torch.stack(logits).float().log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(logits))

    def get_logits(self, levels: List[List[RaySegment]], rgb: Float[Tensor, "rays 3"]) -> Dict[str, List[Tensor]]:
        """Logits of every cascade level, for training; each ray's are those of the one member that learns from it.

        The members take turns along the batch, which may be sorted by photos.

        Args:
            levels: from `choose_samples`.
            rgb: color of each ray.

        Returns:
            `f2s_logits`, and with the color-radiance network `c2s_logits`: a tensor [rays, classes] for each level.
        """
        shares = [slice(start, None, len(self.members)) for start in range(len(self.members))]
        found = [
            member.get_logits([[segment[share] for segment in level] for level in levels], rgb[share])
            for member, share in zip(self.members, shares)
        ]
        order = torch.cat([torch.arange(len(rgb))[share] for share in shares]).argsort().to(rgb.device)
        return {key: [torch.cat(level)[order] for level in zip(*(logits[key] for logits in found))] for key in found[0]}

    def get_losses(self, logits: Dict[str, List[Tensor]], labels: Int[Tensor, "rays"]) -> Dict[str, Float[Tensor, ""]]:
        """Cross-entropy of F2S and of C2S, summed over the cascade levels.

        Args:
            logits: from `get_logits`.
            labels: class indices.
        """
        names, config = {"f2s_logits": "f2s_loss", "c2s_logits": "c2s_loss"}, self.config
        return {
            loss: torch.stack(
                [label_loss(level, labels, config.label_smoothing, config.class_balance) for level in logits[key]]
            ).sum()
            for key, loss in names.items()
            if key in logits
        }


def make_semantic_stage(
    config: SemanticStageConfig, levels: Tuple[LevelLayout, ...], num_classes: int
) -> SemanticStage:
    """The semantic stage that a config asks for; runs name it so in their config.yml."""
    return SemanticStage(config, levels, num_classes)


def _member(config: SemanticStageConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> SemanticMember:
    kernels = config.kernel_sizes + (config.kernel_sizes[-1],) * len(levels)
    modules = [
        LevelSemantics(
            layout,
            num_classes,
            config.hidden_dim,
            config.feature_dim,
            kernel if config.ray_convolution else None,
            config.color_widths if config.color_radiance else None,
            config.position_resolutions,
            config.position_dropout,
        )
        for layout, kernel in zip(levels, kernels)
    ]
    return SemanticMember(modules, config.label_smoothing)
