"""One set of the semantic modules: those of every cascade level, with a head each."""

from typing import Dict, List

from jaxtyping import Float
from torch import Tensor, nn

from nerfseg_ns.geometry.base import RaySegment
from nerfseg_ns.semantics.level import LevelSemantics
from nerfseg_ns.semantics.losses import undo_smoothing


class SemanticMember(nn.Module):
    """Semantic modules of every cascade level, coarse to fine; a semantic stage has one or several of them.

    Args:
        levels: the modules of each level.
        label_smoothing: of the labels that it learns from; undone where it classifies.
    """

    def __init__(self, levels: List[LevelSemantics], label_smoothing: float) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.label_smoothing = label_smoothing

    def render_features(self, segments: List[RaySegment]) -> List[Float[Tensor, "rays feature"]]:
        """Rendered features of the finest level's segments."""
        return self.levels[-1].render_features(segments)

    def classify(
        self,
        features: List[Float[Tensor, "rays feature"]],
        transmittances: List[Float[Tensor, "rays 1"]],
        rgb: Float[Tensor, "rays 3"],
    ) -> Float[Tensor, "rays classes"]:
        """Logits of the finest level, given the color of the pixels (rendered or observed)."""
        level = self.levels[-1]
        logits = level.classify(features, transmittances, level.color_features(rgb))
        return undo_smoothing(logits, self.label_smoothing)

    def get_logits(self, levels: List[List[RaySegment]], rgb: Float[Tensor, "rays 3"]) -> Dict[str, List[Tensor]]:
        """Logits of every cascade level, for training: `f2s_logits`, with the color-radiance network `c2s_logits`."""
        logits: Dict[str, List[Tensor]] = {"f2s_logits": []}
        for level, segments in zip(self.levels, levels):
            color = level.color_features(rgb)
            features = level.render_features(segments)
            transmittances = [segment.transmittance for segment in segments]
            logits["f2s_logits"].append(level.classify(features, transmittances, color))
            if level.c2s is not None:
                logits.setdefault("c2s_logits", []).append(level.c2s(color))
        return logits
