"""Batches of stage 2: labelled rays, pieces of labelled photos, and rays that the eye has labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Protocol, Tuple

from torch import Tensor

from nerfseg_ns.data.patch_sampler import PatchSampler
from nerfseg_ns.semantics.batch import CROP_LABELS, TAUGHT_LABELS, SemanticBatch
from nerfseg_ns.semantics.cached_rays import CachedRays


class RaySource(Protocol):
    """Where labelled rays come from."""

    def draw(self, count: int) -> CachedRays:
        """At most so many rays, at random, in single precision."""


@dataclass
class SemanticBatches:
    """Draws all that a step of stage 2 learns from."""

    rays: RaySource
    """With the user's labels."""
    crops: Optional[PatchSampler] = None
    """Pieces of labelled photos, for a model that looks at pixels together."""
    crops_seed: int = 0
    """Number of the pieces of step 0. With those of the later steps a run that is resumed goes on as if it had not been
    interrupted, and processes that train together have the same ones."""
    taught: Optional[Callable[[int], CachedRays]] = None
    """Gives so many rays, mostly with labels of the eye's; None unless it teaches."""

    def draw(self, count: int, step: int) -> Tuple[SemanticBatch, Dict[str, Tensor]]:
        """So many rays of each kind.

        Args:
            count: rays.
            step: that they are for, of all steps of the training.

        Returns:
            The inputs, and what belongs to them: the photos' colours as `image` [rays, 3], class indices as `semantics`
            [rays, 1], CROP_LABELS and TAUGHT_LABELS.
        """
        inputs = SemanticBatch(self.rays.draw(count))
        batch = {"image": inputs.rays.observed, "semantics": inputs.rays.labels[:, None]}
        if self.crops is not None:
            inputs.crops, batch[CROP_LABELS] = self.crops.draw(self.crops_seed + step)
        if self.taught is not None:
            inputs.taught = self.taught(len(inputs))
            batch[TAUGHT_LABELS] = inputs.taught.labels
        return inputs, batch
