"""Rays whose geometry is frozen: all that stage 2 has to know of them."""

from dataclasses import dataclass, fields
from typing import Callable, List

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
    labels: Int[Tensor, "rays"]
    """Class indices."""

    def map(self, function: Callable[[Tensor], Tensor]) -> "CachedRays":
        """The same rays with a function applied to every tensor."""
        levels = [
            [RaySegment(*(function(getattr(segment, field.name)) for field in fields(segment))) for segment in level]
            for level in self.levels
        ]
        return CachedRays(levels, function(self.rendered), function(self.observed), function(self.labels))

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
        return len(self.labels)
