"""The field taught by the eye: a second semantic stage, which learns from unlabelled photos what the eye sees in them.

What the eye says of one photo is soft and differs from photo to photo; a field that learns it from many photos at once
is sharp and the same in all of them, and knows views that nobody photographed. Taught beside the stage that learns from
the user's labels alone, not in its place: the two are wrong in different places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Tuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nerfseg_ns.errors import UserError
from nerfseg_ns.eye.config import LEAST_SKILL, NO_BACKBONE, EyeConfig
from nerfseg_ns.geometry.base import LevelLayout, RaySegment
from nerfseg_ns.semantics.cached_rays import CachedRays
from nerfseg_ns.semantics.semantic_stage import SemanticStage, SemanticStageConfig

PREFIX = "taught_"
"""Of the names of its outputs and losses."""
PHOTO_SHARPNESS = 0.7
"""What logits are multiplied by where field and eye both see a photo: they err together more often than opinions that
are multiplied should. With it the calibration error of the label maps of three real flights is 0.9 to 1.0 %."""


@dataclass
class FieldEyeConfig(EyeConfig):
    """The trained eye, and how it and the field work together."""

    backbone: str = NO_BACKBONE
    """Network whose features are used, frozen: efficientnet-lite0 (installed with nerfseg), timm/NAME (downloaded when
    it is first used), or none: labels are then learnt from the labelled photos alone."""
    weight: float = 1.0
    """How much the eye's opinion of a photo counts beside that of the field that it has taught, which counts 1, in a
    scene whose heights tell the classes apart (see the height's full-gain): its geometry stands."""
    flat_weight: float = 3.0
    """The same in a scene whose heights tell nothing of the classes: its trees may lie flat on the ground, and the
    eye knows borders better. Where heights tell something, what the eye counts lies between the two."""
    rendered_weight: float = 0.0
    """The same for rendered views, which are softer than the photos that the eye has learnt from. What it knows it has
    taught the field already: more than 0 gains little, and makes each frame slower."""
    own_weight: float = 0.25
    """How much the stage that has learnt from the user's labels alone counts beside the taught one, which counts 1."""
    least_skill: float = LEAST_SKILL
    """Share of held-out labelled pixels that the eye must get right to be used at all. In rendered scenes, whose
    surfaces its network has never seen, it usually does not."""
    full_skill: float = 0.8
    """The share from which on it is trusted fully; between the two, in part."""
    first_step: int = 100
    """Steps of stage 2, at most a quarter of all, before heights are tried, the eye learns the labels and teaches the
    field. Till then label maps are those of the user's labels alone: whoever watches need not wait for the eye."""
    photos: int = 48
    """Unlabelled photos that the eye teaches the field from, evenly chosen; each takes it about half a second. 0 lets
    the field learn from the user's labels alone."""
    rays: int = 120_000
    """Pixels of them that are rendered and kept for it."""
    min_confidence: float = 0.6
    """Pixels whose class is less sure, by the eye and the height above the ground, teach nothing."""
    own_share: float = 0.25
    """Share of what the taught stage learns from that are the user's own labels."""

    def check(self) -> None:
        super().check()
        if min(self.photos, self.rays) < 0 or not 0 <= self.own_share <= 1:
            raise UserError("pipeline.model.eye: photos and rays are at least 0, own-share is 0 to 1.")
        if self.least_skill > self.full_skill:
            raise UserError("pipeline.model.eye: least-skill is at most full-skill.")

    def trust(self, skill: float) -> float:
        """How far an eye of such skill is trusted, 0 to 1."""
        return min(1.0, max(0.0, (skill - self.least_skill) / max(1e-6, self.full_skill - self.least_skill)))

    @property
    def teaches(self) -> bool:
        """Whether there is an eye that teaches the field."""
        return self.backbone != NO_BACKBONE and self.photos > 0 and self.rays > 0


class TaughtField(nn.Module):
    """A semantic stage that learns from rays of its own.

    Args:
        config: of the stage that learns from the user's labels; this one has the same modules, one head of each.
        levels: layout of the geometry's levels, coarse to fine.
        num_classes: number of classes.
    """

    def __init__(self, config: SemanticStageConfig, levels: Tuple[LevelLayout, ...], num_classes: int) -> None:
        super().__init__()
        self.stage: SemanticStage = replace(config, heads=1).setup(levels=levels, num_classes=num_classes)

    def get_logits(self, levels: List[List[RaySegment]], rgb: Float[Tensor, "rays 3"]) -> Dict[str, List[Tensor]]:
        """As the stage's, under names of their own."""
        return {f"{PREFIX}{key}": values for key, values in self.stage.get_logits(levels, rgb).items()}

    def get_losses(self, outputs: Dict[str, List[Tensor]], labels: Int[Tensor, "rays"]) -> Dict[str, Float[Tensor, ""]]:
        """As the stage's, under names of their own.

        Args:
            outputs: with the logits from `get_logits`.
            labels: class indices.
        """
        own = {key[len(PREFIX) :]: values for key, values in outputs.items() if key.startswith(PREFIX)}
        return {f"{PREFIX}{name}": loss for name, loss in self.stage.get_losses(own, labels).items()}


def concatenate(parts: List[CachedRays]) -> CachedRays:
    """Rays of several bundles as one."""
    columns = zip(*(part.tensors() for part in parts))
    joined = iter([torch.cat(column) for column in columns])
    return parts[0].map(lambda _: next(joined))
