"""What a view's rays have that does not depend on its colors: rendered once, it is classified with any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass
class RayFeatures:
    """Rendered semantic features of rays, and where the rays end."""

    fields: List[List[Float[Tensor, "rays feature"]]]
    """Of every semantic stage that has a say, those of its segments from near to far."""
    transmittances: List[Float[Tensor, "rays 1"]]
    """Before each segment."""
    surface: Float[Tensor, "rays 3"]
    """Where the rays end, in the geometry's own coordinates."""
    accumulation: Float[Tensor, "rays 1"]
    """Share of each ray that ends within the scene; a sky has no height."""

    def pack(self) -> Float[Tensor, "rays numbers"]:
        """All of it side by side, as an output of a view can be."""
        features = [segment for field in self.fields for segment in field]
        return torch.cat([*features, *self.transmittances, self.surface, self.accumulation], dim=-1)

    @classmethod
    def unpack(cls, packed: Float[Tensor, "rays numbers"], widths: List[int], segments: int) -> RayFeatures:
        """What `pack` put side by side.

        Args:
            packed: by `pack`.
            widths: of each field's features.
            segments: of a ray.
        """
        sizes = [width for width in widths for _ in range(segments)]
        *parts, surface, accumulation = packed.split([*sizes, *[1] * segments, 3, 1], dim=-1)
        fields = [parts[start : start + segments] for start in range(0, len(sizes), segments)]
        return cls(fields, parts[len(sizes) :], surface, accumulation)
