"""Rays of unlabelled photos with the labels that the eye gives them, for the field to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterator, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.data.labelled_rays import half_precision, single_precision
from nerfseg_ns.semantics.frozen_rays import FrozenRays
from nerfseg_ns.semantics.taught_field import FieldEyeConfig, concatenate
from nerfseg_ns.utils.spread import spread

Freeze = Callable[[RayBundle, Dict[str, Tensor]], FrozenRays]


@dataclass
class TaughtRays:
    """Draws rays: a share with the user's labels, the others with the eye's."""

    kept: FrozenRays
    """With the eye's labels, in half precision."""
    draw_labelled: Callable[[int], FrozenRays]
    """Gives so many rays with the user's, in single precision."""
    own_share: float

    def draw(self, count: int) -> FrozenRays:
        """So many rays, at random, in single precision."""
        own = round(self.own_share * count)
        chosen = torch.randint(len(self.kept), (count - own,), device=self.kept.labels.device)
        taught = self.kept.map(lambda tensor: single_precision(tensor[chosen]))
        return concatenate([self.draw_labelled(own), taught]) if own else taught


def teach(
    config: FieldEyeConfig,
    dataset: LabelledDataset,
    ray_generator: RayGenerator,
    freeze: Freeze,
    see: Callable[[Float[Tensor, "height width 3"]], Float[Tensor, "height width classes"]],
    rays_per_chunk: int,
) -> Optional[FrozenRays]:
    """Lets the eye label pixels of unlabelled photos.

    Args:
        config: how many.
        dataset: the training photos.
        ray_generator: of their cameras.
        freeze: renders rays with the frozen geometry; the batch holds their `image` colours and `semantics` labels.
        see: class probabilities of a photo.
        rays_per_chunk: rays rendered at once.

    Returns:
        Rays in half precision; None where no photo is unlabelled, or the eye is sure of nothing.
    """
    labelled = set(dataset.label_maps.labelled)
    free = [view for view in range(len(dataset)) if view not in labelled]
    views = [free[place] for place in spread(len(free), min(len(free), config.photos))]
    shown = track(views, "The eye looks at photos", console=CONSOLE, transient=True)
    parts = [
        freeze(ray_generator(indices), batch).map(half_precision)
        for view in shown
        for indices, batch in _sure_pixels(config, dataset, view, see, config.rays // len(views), rays_per_chunk)
    ]
    return concatenate(parts) if parts else None


def _sure_pixels(
    config: FieldEyeConfig, dataset: LabelledDataset, view: int, see: Callable, count: int, chunk: int
) -> Iterator[Tuple[Tensor, Dict[str, Tensor]]]:
    """Random pixels of a photo that the eye is sure of, with its labels, in pieces; always the same ones."""
    data = dataset.get_data(view)
    image = data["image"]
    confidence, labels = see(image).max(dim=-1)
    sure = confidence.cpu() > config.min_confidence
    if "mask" in data:
        sure &= data["mask"][..., 0].bool()
    places = sure.flatten().nonzero()[:, 0]
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(view))[:count]
    width = image.shape[1]
    for pixels in places[order].split(chunk) if len(order) else ():
        indices = torch.stack([torch.full_like(pixels, view), pixels // width, pixels % width], dim=-1)
        batch = {"image": image.flatten(0, 1)[pixels], "semantics": labels.cpu().flatten()[pixels][:, None]}
        yield indices, batch
