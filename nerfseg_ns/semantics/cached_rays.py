"""Rays whose geometry is frozen: all that stage 2 has to know of them."""

from dataclasses import dataclass, fields, replace
from typing import Callable, List, Optional, Tuple

from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.geometry.base import RaySegment


@dataclass
class CachedRays:
    """Labelled rays, rendered by a geometry that no longer changes. The first dimension of all tensors is the ray."""

    levels: List[List[RaySegment]]
    """Segments of each cascade level, with the samples that the semantic modules see."""
    rendered: Float[Tensor, "rays 3"]
    """Colors that the finest level renders."""
    observed: Float[Tensor, "rays 3"]
    """Colors of the photo."""
    labels: Optional[Int[Tensor, "rays"]] = None
    """Class indices; None in a batch, whose labels travel beside it."""

    def split_labels(self) -> Tuple["CachedRays", Int[Tensor, "rays"]]:
        """The rays without their labels, and these."""
        return replace(self, labels=None), self.labels

    def map(self, function: Callable[[Tensor], Tensor]) -> "CachedRays":
        """The same rays with a function applied to every tensor."""
        levels = [
            [RaySegment(*(function(getattr(segment, field.name)) for field in fields(segment))) for segment in level]
            for level in self.levels
        ]
        labels = None if self.labels is None else function(self.labels)
        return CachedRays(levels, function(self.rendered), function(self.observed), labels)

    def tensors(self) -> List[Tensor]:
        """All tensors, always in the same order."""
        found: List[Tensor] = []
        self.map(lambda tensor: found.append(tensor) or tensor)
        return found

    @property
    def num_bytes(self) -> int:
        """Memory that they take."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def __len__(self) -> int:
        return len(self.rendered)
