"""Puts together all that is known of a pixel's class: a product of opinions, each to a power of its own.

Of rays, wherever they go: the field that has learnt from the user's labels, the one that the eye has taught, the height
above the ground. Of an image, photographed or rendered: the surroundings of the pixel, and the eye.
"""

from __future__ import annotations

from typing import List, Optional

import torch
from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.eye.eye import Eye
from nerfseg_ns.geometry.base import RenderedLevel
from nerfseg_ns.geometry.ground import surface_points
from nerfseg_ns.semantics.color_context import ColorContext
from nerfseg_ns.semantics.height_opinion import HeightOpinion
from nerfseg_ns.semantics.opinions import opinion
from nerfseg_ns.semantics.ray_features import RayFeatures
from nerfseg_ns.semantics.semantic_stage import SemanticStage
from nerfseg_ns.semantics.taught_field import PHOTO_SHARPNESS, FieldEyeConfig, TaughtField


class Fusion:
    """The opinions of one model.

    Args:
        own: the stage that learns from the user's labels.
        taught: the one that the eye teaches.
        height: what heights say.
        context: what a pixel's surroundings say.
        eye: the trained eye.
        config: of the eye, and of how much it counts.

    Attributes:
        trust: how far the eye is trusted, 0 to 1; 0 without one, and before it has learnt the labels.
        height_weight: how much the height counts.
        photo_weight: how much the eye counts where it sees a photo.
    """

    def __init__(
        self,
        own: SemanticStage,
        taught: Optional[TaughtField],
        height: Optional[HeightOpinion],
        context: Optional[ColorContext],
        eye: Optional[Eye],
        config: FieldEyeConfig,
    ) -> None:
        self.own, self.taught, self.height, self.context, self.eye = own, taught, height, context, eye
        self.config = config
        self.trust = 0.0 if eye is None or not eye.is_learnt else config.trust(float(eye.skill))
        self.height_weight, standing = (0.0, 0.0) if height is None else (height.weight, height.trust)
        self.photo_weight = self.trust * (config.flat_weight + standing * (config.weight - config.flat_weight))

    @property
    def is_taught(self) -> bool:
        """Whether the eye has taught the field."""
        return self.taught is not None and self.trust > 0

    @property
    def fields(self) -> List[SemanticStage]:
        """The semantic stages that have a say."""
        return [self.own, self.taught.stage] if self.is_taught else [self.own]

    @property
    def looks_at_images(self) -> bool:
        """Whether `with_image` adds anything."""
        return self.context is not None or self.trust > 0

    def render(self, level: RenderedLevel) -> RayFeatures:
        """What is known of the rays of the finest level but for their colors."""
        rendered = [stage.render_features(level) for stage in self.fields]
        features, (transmittances, *_) = zip(*rendered)
        return RayFeatures(
            list(features), transmittances, surface_points(level.segments), level.accumulation.clamp(0.0, 1.0)
        )

    def unpack(self, packed: Float[Tensor, "rays numbers"]) -> RayFeatures:
        """What `render` gave, from one tensor (see `RayFeatures.pack`)."""
        return RayFeatures.unpack(packed, [stage.rendered_width for stage in self.fields], self.own.num_segments)

    def of_rays(self, rays: RayFeatures, rgb: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays classes"]:
        """Logits of what is known of rays.

        Args:
            rays: from `render`.
            rgb: colors that the classifiers are given.
        """
        found = [stage.classify(own, rays.transmittances, rgb) for stage, own in zip(self.fields, rays.fields)]
        if not self._is_product:
            return found[0]
        total = own = opinion(found[0])
        if self.is_taught:
            total = torch.lerp(own, self.config.own_weight * own + opinion(found[1]), self.trust)
        if self.height_weight > 0:
            total = total + self.height_weight * rays.accumulation * opinion(self.height(rays.surface))
        return total

    @property
    def _is_product(self) -> bool:
        return self.is_taught or self.height_weight > 0

    def with_image(
        self,
        logits: Float[Tensor, "height width classes"],
        image: Float[Tensor, "height width 3"],
        is_photo: bool,
        seen: Optional[Float[Tensor, "height width classes"]] = None,
    ) -> Float[Tensor, "height width classes"]:
        """Logits of what is known of rays, and of the image that they make.

        Args:
            logits: from `of_rays`.
            image: the view that they are of.
            is_photo: or rendered.
            seen: the eye's class probabilities, where they are known already.
        """
        if not self.looks_at_images:
            return logits
        total = logits if self._is_product else opinion(logits)  # of a product, each opinion has had its floor already
        if self.context is not None:
            total = total + self.context.config.weight * opinion(self.context.classify(image))
        weight = self.photo_weight if is_photo else self.trust * self.config.rendered_weight
        if weight > 0:
            if seen is None:
                seen = self.eye.probabilities(image, turns=None if is_photo else 1)
            total = total + weight * opinion(seen.clamp(min=1e-6).log())
        return total * (1 - self.trust * (1 - PHOTO_SHARPNESS)) if is_photo else total
