"""Batches of stage 2: labelled rays, patches of labelled photos, and rays that the eye has labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Protocol, Tuple

from torch import Tensor

from nerfseg_ns.data.patch_sampler import PatchSampler
from nerfseg_ns.semantics.batch import PATCH_LABELS, TAUGHT_LABELS, SemanticBatch
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
    patches: Optional[PatchSampler] = None
    """Patches of labelled photos, for a model that looks at pixels together."""
    patches_seed: int = 0
    """Number of the patches of step 0. With those of the later steps a run that is resumed goes on as if it had never
    stopped, and processes that train together have the same ones."""
    taught: Optional[Callable[[int], CachedRays]] = None
    """Gives so many rays, mostly with labels of the eye's; None unless it teaches."""

    def draw(self, count: int, step: int) -> Tuple[SemanticBatch, Dict[str, Tensor]]:
        """So many rays of each kind.

        Args:
            count: rays.
            step: that they are for, of all steps of the training.

        Returns:
            The inputs, and what belongs to them: the photos' colors as `image` [rays, 3], class indices as `semantics`
            [rays, 1], PATCH_LABELS and TAUGHT_LABELS.
        """
        rays, labels = self.rays.draw(count).split_labels()
        inputs, batch = SemanticBatch(rays), {"image": rays.observed, "semantics": labels[:, None]}
        if self.patches is not None:
            inputs.patches, batch[PATCH_LABELS] = self.patches.draw(self.patches_seed + step)
        if self.taught is not None:
            inputs.taught, batch[TAUGHT_LABELS] = self.taught(len(inputs)).split_labels()
        return inputs, batch
