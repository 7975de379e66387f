"""What a step of stage 2 learns from."""

from dataclasses import dataclass
from typing import Optional

from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.semantics.cached_rays import CachedRays

PATCH_LABELS = "patch_semantics"
"""Key of the patches' class indices [patches, rows, columns] in the dictionary that goes with a batch."""
TAUGHT_LABELS = "taught_semantics"
"""Key of the taught rays' class indices [rays] there."""


@dataclass
class SemanticBatch:
    """Inputs of a step; the labels are in the dictionary that goes with it, beside the photos' colors."""

    rays: CachedRays
    """That the user has labelled."""
    patches: Optional[Float[Tensor, "patches 3 rows columns"]] = None
    """Patches of labelled photos, for what looks at pixels together."""
    taught: Optional[CachedRays] = None
    """That the eye has labelled, most of them."""

    def __len__(self) -> int:
        return len(self.rays)
