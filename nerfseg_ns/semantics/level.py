"""The semantic modules of one cascade level."""

from typing import List, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.model_components.renderers import SemanticRenderer
from torch import Tensor, nn

from nerfseg_ns.geometry.base import LevelLayout, RaySegment, composite
from nerfseg_ns.semantics.color_radiance import ColorRadianceNetwork
from nerfseg_ns.semantics.heads import C2SHead, F2SHead
from nerfseg_ns.semantics.packed_samples import PackedSamples
from nerfseg_ns.semantics.position_features import PositionFeatures
from nerfseg_ns.semantics.ray_convolution import RayConvolution
from nerfseg_ns.semantics.seg_mlp import SegMLP

MAX_PACKED_SHARE = 0.8
"""Share of the samples that the heads are asked at from which on picking them out costs more than it saves: where both
take equally long on a CPU, with the widths of either method."""


class LevelSemantics(nn.Module):
    """Seg-MLP, ray convolution and F2S head for each segment of the ray; one color-radiance network and C2S head.

    Args:
        layout: feature widths of the level's segments.
        num_classes: number of classes.
        hidden_dim: inner width of the Seg-MLP.
        feature_dim: width of the semantic feature.
        kernel_size: of the ray convolution, or None to leave it out (Table III's baseline).
        color_widths: of the color-radiance network, or None to leave it and the C2S head out.
        position_resolutions: of the position features, or empty to leave them out.
        position_dropout: see `PositionFeatures`.
    """

    def __init__(
        self,
        layout: LevelLayout,
        num_classes: int,
        hidden_dim: int,
        feature_dim: int,
        kernel_size: Optional[int],
        color_widths: Optional[Tuple[int, int]],
        position_resolutions: Tuple[int, ...] = (),
        position_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.position_features = (
            PositionFeatures(position_resolutions, position_dropout) if position_resolutions else None
        )
        position_dim = 0 if self.position_features is None else self.position_features.out_dim
        self.color_radiance = None if color_widths is None else ColorRadianceNetwork(color_widths)
        color_dim = 0 if self.color_radiance is None else self.color_radiance.out_dim
        self.c2s = C2SHead(color_dim, num_classes) if color_dim else None
        dims = layout.feature_dims
        self.seg_mlps = nn.ModuleList([SegMLP(dim + position_dim, hidden_dim, feature_dim) for dim in dims])
        self.ray_convolutions = nn.ModuleList(
            [nn.Identity() if kernel_size is None else RayConvolution(feature_dim, kernel_size) for _ in dims]
        )
        self.f2s = nn.ModuleList([F2SHead(feature_dim, color_dim, num_classes) for _ in dims])
        self.reach = 0 if kernel_size is None else kernel_size // 2
        self.renderer = SemanticRenderer()

    def render_features(self, segments: List[RaySegment]) -> List[Float[Tensor, "rays feature"]]:
        """Semantic features of the samples, volume-rendered with the frozen weights: one feature a ray and segment."""
        return [self._render(*parts) for parts in zip(segments, self.seg_mlps, self.ray_convolutions)]

    def _render(
        self, segment: RaySegment, seg_mlp: SegMLP, ray_convolution: nn.Module
    ) -> Float[Tensor, "rays feature"]:
        packed = None if self._hides_rays() else PackedSamples.of(segment.weights[..., 0], self.reach)
        if packed is None or packed.share > MAX_PACKED_SHARE:
            samples = ray_convolution(seg_mlp(self._seg_mlp_input(segment.features, segment.positions)))
            return self.renderer(samples, segment.weights)
        features = seg_mlp(self._seg_mlp_input(packed.choose(segment.features), packed.choose(segment.positions)))
        if self.reach:
            features = ray_convolution.at(packed.with_nothing(features), packed.neighbours())
        return packed.render(features, segment.weights[..., 0])

    def _hides_rays(self) -> bool:
        """Whether the position features are hidden from whole rays now, so that samples must be in rays."""
        return self.training and self.position_features is not None

    def _seg_mlp_input(
        self, features: Float[Tensor, "*samples feature"], positions: Float[Tensor, "*samples 3"]
    ) -> Float[Tensor, "*samples width"]:
        """The location features, with the position features where the level has them."""
        if self.position_features is None:
            return features
        return torch.cat([features, self.position_features(positions)], dim=-1)

    def color_features(self, rgb: Float[Tensor, "rays 3"]) -> Optional[Float[Tensor, "rays color"]]:
        """Color features of the rays, or None where the level has no color-radiance network."""
        return None if self.color_radiance is None else self.color_radiance(rgb)

    def classify(
        self,
        features: List[Float[Tensor, "rays feature"]],
        transmittances: List[Float[Tensor, "rays 1"]],
        color: Optional[Float[Tensor, "rays color"]],
    ) -> Float[Tensor, "rays classes"]:
        """F2S logits of the segments, composited with what the segments before let through."""
        return composite([head(feature, color) for head, feature in zip(self.f2s, features)], transmittances)
