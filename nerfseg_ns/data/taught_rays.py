"""Rays of unlabelled photos: they show where the ground is, and the field learns what the eye sees in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.data.ray_cache import half_precision, single_precision
from nerfseg_ns.semantics.cached_rays import CachedRays
from nerfseg_ns.semantics.opinions import opinion
from nerfseg_ns.semantics.taught_field import concatenate

Freeze = Callable[[RayBundle, Dict[str, Tensor]], CachedRays]
See = Callable[[Float[Tensor, "height width 3"]], Float[Tensor, "height width classes"]]


@dataclass
class SceneRays:
    """Rays through random pixels of unlabelled photos, whose geometry is frozen."""

    rays: CachedRays
    """In half precision; their labels mean nothing yet."""
    seen: Optional[Float[Tensor, "rays classes"]]
    """Logarithms of what the eye says of their pixels, where it looked."""

    @classmethod
    def of(
        cls,
        dataset: LabelledDataset,
        ray_generator: RayGenerator,
        freeze: Freeze,
        see: Optional[See],
        photos: int,
        count: int,
        rays_per_chunk: int,
    ) -> Optional[SceneRays]:
        """Renders them.

        Args:
            dataset: the training photos.
            ray_generator: of their cameras.
            freeze: renders rays with the frozen geometry; the batch holds their `image` colors and `semantics` labels.
            see: class probabilities of a photo; None where the eye does not look.
            photos: at most, evenly chosen.
            count: rays of all of them.
            rays_per_chunk: rays rendered at once.

        Returns:
            None where no photo is unlabelled.
        """
        labelled = set(dataset.label_maps.labelled)
        free = [view for view in range(len(dataset)) if view not in labelled]
        views = [free[place] for place in evenly_spaced_indices(len(free), min(len(free), photos))]
        parts, seen = [], []
        for view in track(views, "Looking at unlabelled photos", console=CONSOLE, transient=True):
            for indices, batch, probabilities in _pixels(dataset, view, see, count // len(views), rays_per_chunk):
                parts.append(freeze(ray_generator(indices), batch).map(half_precision))
                seen.append(probabilities)
        if not parts:
            return None
        return cls(concatenate(parts), opinion(torch.cat(seen).log()) if see is not None else None)

    def taught(self, more: Float[Tensor, "rays classes"], min_confidence: float) -> Optional[CachedRays]:
        """The rays with the labels that the eye gives them, without those that are not sure.

        Args:
            more: logarithms of what else is known of them, 0 for nothing.
            min_confidence: of the product of both, 0 to 1.

        Returns:
            None where nothing is sure.
        """
        confidence, labels = (self.seen.to(more) + more).softmax(dim=-1).max(dim=-1)
        sure = confidence > min_confidence
        labelled = replace(self.rays, labels=labels.byte())
        return labelled.map(lambda tensor: tensor[sure]) if sure.any() else None


@dataclass
class TaughtRays:
    """Draws rays: a share with the user's labels, the others with the eye's."""

    kept: CachedRays
    """With the eye's labels, in half precision."""
    draw_labelled: Callable[[int], CachedRays]
    """Gives so many rays with the user's, in single precision."""
    own_share: float

    def draw(self, count: int) -> CachedRays:
        """So many rays, at random, in single precision."""
        own = round(self.own_share * count)
        chosen = torch.randint(len(self.kept), (count - own,), device=self.kept.labels.device)
        taught = self.kept.map(lambda tensor: single_precision(tensor[chosen]))
        return concatenate([self.draw_labelled(own), taught]) if own else taught


def _pixels(
    dataset: LabelledDataset, view: int, see: Optional[See], count: int, chunk: int
) -> Iterator[Tuple[Tensor, Dict[str, Tensor], Tensor]]:
    """Random pixels of a photo within its mask, in pieces, always the same ones: indices, batch, what the eye says."""
    data = dataset.get_neutral(view)
    image = data["image"]
    height, width = image.shape[:2]
    inside = data["mask"].flatten().nonzero()[:, 0] if "mask" in data else torch.arange(height * width)
    order = torch.randperm(len(inside), generator=torch.Generator().manual_seed(view))[:count]
    seen = see(image).flatten(0, 1) if see is not None else torch.zeros(height * width, 0)
    for pixels in inside[order].split(chunk) if len(order) else ():
        indices = torch.stack([torch.full_like(pixels, view), pixels // width, pixels % width], dim=-1)
        labels = torch.zeros(len(pixels), 1, dtype=torch.uint8)
        yield indices, {"image": image.flatten(0, 1)[pixels], "semantics": labels}, seen[pixels.to(seen.device)]
