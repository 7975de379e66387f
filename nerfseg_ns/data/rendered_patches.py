"""Patches of the labelled photos as the learnt scene shows them, for what will look at rendered views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.labels.classes import IGNORE_INDEX


@dataclass
class RenderedPatch:
    """A part of a photo, rendered from where the photo was taken."""

    top: int
    """Row of the photo that it begins with."""
    left: int
    """Column of the photo that it begins with."""
    colors: Float[Tensor, "rows columns 3"]
    """0 to 1."""

    def holds(self, row: int, column: int) -> bool:
        """Whether a pixel of the photo lies in it."""
        rows, columns = self.colors.shape[:2]
        return 0 <= row - self.top < rows and 0 <= column - self.left < columns


@dataclass
class PatchRenderer:
    """Renders patches of labelled photos."""

    dataset: LabelledDataset
    """Photos with labels."""
    ray_generator: RayGenerator
    """Of their cameras."""
    render_rays: Callable[[RayBundle], Float[Tensor, "rays 3"]]
    """Colors of rays."""
    rays_per_chunk: int
    """Rays rendered at once."""

    def render_patches(self, max_pixels: int, least: int) -> Dict[int, RenderedPatch]:
        """A patch for each labelled photo, or for some of them, evenly chosen; always the same ones.

        Args:
            max_pixels: of all patches together; they hold the whole photos where these have no more.
            least: pixels, both ways, that a patch should have: rather than smaller patches, there are fewer.

        Returns:
            By the number of the photo.
        """
        labelled = self.dataset.label_maps.labelled
        chosen = [labelled[place] for place in evenly_spaced_indices(len(labelled), max(1, max_pixels // least**2))]
        views = track(chosen, "Rendering labelled photos", console=CONSOLE, transient=True)
        patches = {view: self._patch(view, max_pixels // len(chosen)) for view in views}
        return {view: patch for view, patch in patches.items() if patch is not None}

    @torch.no_grad()
    def _patch(self, view: int, max_pixels: int) -> Optional[RenderedPatch]:
        """Around the middle one of a photo's labelled pixels; None where it has none."""
        labelled = self.dataset.get_bytes(view)["semantics"][..., 0] != IGNORE_INDEX
        (height, width), places = labelled.shape, labelled.nonzero()
        if len(places) == 0:
            return None
        row, column = places[len(places) // 2].tolist()
        rows = min(height, max(1, math.isqrt(max_pixels)))
        columns = min(width, max(1, max_pixels // rows))
        rows = min(height, max(1, max_pixels // columns))
        top, left = _start(row, rows, height), _start(column, columns, width)
        return RenderedPatch(top, left, self._colors(view, (top, left), (rows, columns)))

    def _colors(self, view: int, start: Tuple[int, int], size: Tuple[int, int]) -> Float[Tensor, "rows columns 3"]:
        rows, columns = (torch.arange(begin, begin + length) for begin, length in zip(start, size))
        pixels = torch.cartesian_prod(torch.tensor([view]), rows, columns)
        rays = (self.ray_generator(chunk) for chunk in pixels.split(self.rays_per_chunk))
        return torch.cat([self.render_rays(bundle) for bundle in rays]).view(*size, 3)


def _start(place: int, length: int, whole: int) -> int:
    """Where a patch of so many pixels begins that has a place in its middle, or near it at the photo's border."""
    return max(0, min(place - length // 2, whole - length))
