"""Several semantic stages over one frozen geometry: they are cheap, and their mean is better than each of them."""

import math
from typing import Dict, List, Tuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfseg_ns.geometry.base import LevelLayout, RaySegment
from nerfseg_ns.semantics.semantic_stage import SemanticStage, SemanticStageConfig


class SemanticEnsemble(SemanticStage):
    """Several semantic stages that differ in their first weights and in the rays that they learn from.

    Args:
        config: which modules, how wide, how many heads.
        levels: layout of the geometry's levels, coarse to fine.
        num_classes: number of classes.
    """

    def __init__(self, config: SemanticStageConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.members = nn.ModuleList([SemanticStage(config, levels, num_classes) for _ in range(config.heads)])

    def render_chosen(self, segments: List[RaySegment]) -> List[Float[Tensor, "rays feature"]]:
        """As a single stage's; the features of a segment are those of all members side by side."""
        features = [member.render_chosen(segments) for member in self.members]
        return [torch.cat(segment, dim=-1) for segment in zip(*features)]

    def classify(
        self, features: List[Tensor], transmittances: List[Tensor], rgb: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays classes"]:
        """Logarithms of the members' mean class probabilities."""
        shares = zip(*(segment.chunk(len(self.members), dim=-1) for segment in features))
        logits = [member.classify(list(own), transmittances, rgb) for member, own in zip(self.members, shares)]
        return torch.stack(logits).float().log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(self.members))

    def get_logits(self, levels: List[List[RaySegment]], rgb: Float[Tensor, "rays 3"]) -> Dict[str, List[Tensor]]:
        """As a single stage's; each ray's logits are those of the one member that learns from it.

        The members take turns along the batch, which may be sorted by photos.
        """
        shares = [slice(start, None, len(self.members)) for start in range(len(self.members))]
        found = [
            member.get_logits([[segment[share] for segment in level] for level in levels], rgb[share])
            for member, share in zip(self.members, shares)
        ]
        order = torch.cat([torch.arange(len(rgb))[share] for share in shares]).argsort().to(rgb.device)
        return {key: [torch.cat(level)[order] for level in zip(*(logits[key] for logits in found))] for key in found[0]}
