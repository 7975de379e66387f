"""The samples of a bundle of rays that count, side by side: where nothing weighs anything, no network is asked.

Letters used in the shapes: ``kept`` the samples that weigh something, ``packed`` these and their neighbours on the ray.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nerfseg_ns.core.samples import widen


@dataclass
class PackedSamples:
    """Which samples are needed to render features with a ray convolution, exactly as from all samples."""

    kept: Bool[Tensor, "rays samples"]
    """Samples that weigh something."""
    near: Bool[Tensor, "rays samples"]
    """Samples that the ray convolution sees from there."""
    reach: int
    """Samples that it sees to either side."""

    @classmethod
    def of(cls, weights: Float[Tensor, "rays samples"], reach: int) -> "PackedSamples":
        """The samples needed for these weights."""
        kept = weights != 0
        return cls(kept, widen(kept, reach), reach)

    @property
    def share(self) -> float:
        """Share of the samples that are needed."""
        return float(self.near.float().mean())

    def choose(self, values: Float[Tensor, "rays samples channels"]) -> Float[Tensor, "packed channels"]:
        """What is packed of values of all samples."""
        return values[self.near]

    def with_nothing(self, features: Float[Tensor, "packed channels"]) -> Float[Tensor, "packed+1 channels"]:
        """Packed features, behind the zero that stands for what lies beyond a ray's ends."""
        return F.pad(features, (0, 0, 1, 0))

    def neighbours(self) -> Int[Tensor, "kept kernel"]:
        """For each sample that weighs something, where `with_nothing` has the features around it."""
        places = torch.zeros_like(self.near, dtype=torch.long)
        places[self.near] = torch.arange(1, int(self.near.sum()) + 1, device=places.device)
        windows = F.pad(places, (self.reach, self.reach)).unfold(1, 2 * self.reach + 1, 1)
        return windows[self.kept]

    def render(
        self, features: Float[Tensor, "kept channels"], weights: Float[Tensor, "rays samples"]
    ) -> Float[Tensor, "rays channels"]:
        """Sums the features up along each ray."""
        rays = self.kept.nonzero()[:, 0]
        weighted = features * weights[self.kept][:, None]
        return weighted.new_zeros(len(weights), weighted.shape[1]).index_add(0, rays, weighted)
