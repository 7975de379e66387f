"""What is done once, early in stage 2: the eye learns the labels, heights are tried, the eye teaches.

What it teaches are labels of unlabelled photos, as it sees them there.
"""

from __future__ import annotations

import time
from typing import Optional, Tuple

import torch
from jaxtyping import Float, Int
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from nerfseg_ns.core.processes import shared_seed
from nerfseg_ns.data.datamanager import LabelledDataManager
from nerfseg_ns.data.labelled_pictures import LabelledPictures
from nerfseg_ns.data.taught_rays import SceneRays, TaughtRays
from nerfseg_ns.eye.eye import Eye
from nerfseg_ns.geometry.ground import surface_points
from nerfseg_ns.model import NerfSegModel
from nerfseg_ns.semantics.cached_rays import CachedRays
from nerfseg_ns.semantics.height_opinion import HeightOpinion
from nerfseg_ns.semantics.opinions import opinion

HEIGHT_PHOTOS = 48
"""Unlabelled photos that show where the ground is, where no eye looks at them."""
HEIGHT_DRAWS, HEIGHT_RAYS = 16, 4096
"""Labelled rays whose heights are looked at: so many times so many, at random."""


class Teacher:
    """Readies the eye, the height and the taught field of a model; what is ready already is left as it is.

    Args:
        model: whose stage 1 is over.
        manager: with the photos and their labels, and batches of stage 2.
        rays_per_chunk: rays rendered at once.
    """

    def __init__(self, model: NerfSegModel, manager: LabelledDataManager, rays_per_chunk: int) -> None:
        self.model, self.manager, self.rays_per_chunk = model, manager, rays_per_chunk

    def ready(self) -> None:
        """Does all of it."""
        model = self.model
        if model.eye is not None and not model.eye.has_looked:
            self._open_eye()
        teaches = model.fusion.is_taught
        measures = model.height is not None and not model.height.is_learnt
        if not teaches and not measures:
            return
        found = self._look(teaches)
        if measures:
            self._measure(model.height, found)
        if teaches:
            self._teach(found)

    def _open_eye(self) -> None:
        eye, start = self.model.eye, time.time()
        self.model.viewer_stage.content += "\n\nThe trained eye learns the labels; the view stands still for a minute."
        eye.learn(LabelledPictures(self.manager.train_dataset), shared_seed(), self.model.config.eye.least_skill)
        CONSOLE.log(f"{_what_it_knows(eye, self.model.fusion.trust)} ({time.time() - start:.0f} s).")

    def _look(self, teaches: bool) -> Optional[SceneRays]:
        """Rays of unlabelled photos, with what the eye sees there if it teaches."""
        model, eye = self.model, self.model.config.eye
        return SceneRays.of(
            self.manager.train_dataset,
            self.manager.train_ray_generator,
            model.cache_rays,
            (lambda image: model.eye.probabilities(image, turns=1)) if teaches else None,
            photos=eye.photos if teaches else HEIGHT_PHOTOS,
            count=eye.rays if teaches else model.config.height.rays,
            rays_per_chunk=self.rays_per_chunk,
        )

    def _measure(self, height: HeightOpinion, found: Optional[SceneRays]) -> None:
        labelled, labels = self._labelled_surface()
        surface = labelled if found is None else torch.cat([labelled, _surface(found.rays)])
        cameras = self.manager.train_dataset.cameras.camera_to_worlds[:, :, 3].to(surface)
        height.learn(self.model.geometry.frame, cameras, surface, labelled, labels)
        CONSOLE.log(
            f"Heights above the ground improve the prediction of labels by {float(height.gain):.2f} nats; their "
            f"weight is {height.weight:.2f}."
        )

    def _labelled_surface(self) -> Tuple[Float[Tensor, "pixels 3"], Int[Tensor, "pixels"]]:
        """Where labelled pixels lie, and their classes."""
        drawn = [self.manager.semantic_batches.rays.draw(HEIGHT_RAYS) for _ in range(HEIGHT_DRAWS)]
        return torch.cat([_surface(rays) for rays in drawn]), torch.cat([rays.labels for rays in drawn])

    def _teach(self, found: Optional[SceneRays]) -> None:
        model = self.model
        kept = None if found is None else found.taught(self._heights_say(found), model.config.eye.min_confidence)
        batches = self.manager.semantic_batches
        batches.taught = batches.rays.draw
        if kept is not None:
            batches.taught = TaughtRays(kept, batches.rays.draw, model.config.eye.own_share).draw
            CONSOLE.log(f"The eye has labelled {len(kept):,} pixels of unlabelled photos for the field to learn from.")

    def _heights_say(self, found: SceneRays) -> Float[Tensor, "rays classes"]:
        """The height's opinion of the rays, as much as it counts: what the field is taught is right about heights."""
        surface, weight = _surface(found.rays), self.model.fusion.height_weight
        if weight == 0:
            return surface.new_zeros(len(surface), len(self.model.class_names))
        return weight * opinion(self.model.height(surface))


def _what_it_knows(eye: Eye, trust: float) -> str:
    if not eye.is_learnt:
        return f"The trained eye gets only {100 * float(eye.skill):.0f} % of held-out labels right: it is not used"
    told = "The eye has learnt the labels"
    if not eye.is_measured:
        return f"{told}. How well could not be measured: all labels lie close together. It is trusted fully"
    skill = f"{100 * float(eye.skill):.0f} %"
    return (
        f"{told}. It gets {skill} of labels right in parts of the photos that it has not seen; its weight is "
        f"{100 * trust:.0f} %"
    )


def _surface(rays: CachedRays) -> Float[Tensor, "rays 3"]:
    """Where rays end, by the finest level."""
    return surface_points(rays.levels[-1])
