"""The exposures of training photos, found by looking at the learnt scene when they are asked for."""

from __future__ import annotations

from typing import Callable, Dict, Optional, Union

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

from nerfseg_ns.exposure.exposure import Exposure, find_exposure

PIXELS = 2048
"""Of a photo that are rendered, spread evenly over it."""


class PhotoExposures:
    """Brings photos to the scene's one exposure.

    Args:
        get_data: reads a photo, as nerfstudio's datasets give it.
        ray_generator: of their cameras.
        render_colors: the scene's colors, 0 to 1, along rays.
    """

    def __init__(
        self,
        get_data: Callable[[int], Dict[str, Tensor]],
        ray_generator: RayGenerator,
        render_colors: Callable[[RayBundle], Float[Tensor, "rays 3"]],
    ) -> None:
        self.get_data, self.ray_generator, self.render_colors = get_data, ray_generator, render_colors
        self._found: Dict[int, Exposure] = {}

    def of(self, view: int, data: Optional[Dict[str, Tensor]] = None) -> Exposure:
        """The exposure of a photo; neutral where its mask leaves nothing of it.

        Args:
            view: the photo.
            data: the photo as `get_data` reads it, if that has been done.
        """
        if view not in self._found:
            self._found[view] = self._find(view, self.get_data(view) if data is None else data)
        return self._found[view]

    def neutral(
        self, colors: Float[Tensor, "*batch 3"], views: Union[int, Int[Tensor, "*batch"]]
    ) -> Float[Tensor, "*batch 3"]:
        """Colors of photos as the scene has them.

        Args:
            colors: 0 to 1.
            views: the photo that they are of, or for each the one that it is of.
        """
        if isinstance(views, int):
            return self.of(views).neutral(colors)
        views = views.to(colors.device)
        neutral = colors.clone()
        for view in views.unique().tolist():
            neutral[views == view] = self.of(view).neutral(colors[views == view])
        return neutral

    @torch.no_grad()
    def _find(self, view: int, data: Dict[str, Tensor]) -> Exposure:
        height, width = data["image"].shape[:2]
        inside = data["mask"].flatten().nonzero()[:, 0] if "mask" in data else torch.arange(height * width)
        if not len(inside):
            return Exposure(torch.ones(3), torch.zeros(3))
        pixels = inside[torch.linspace(0, len(inside) - 1, min(PIXELS, len(inside))).long()]
        indices = torch.stack([torch.full_like(pixels, view), pixels // width, pixels % width], dim=-1)
        scene = self.render_colors(self.ray_generator(indices)).cpu()
        return find_exposure(scene, data["image"].flatten(0, 1)[pixels].cpu())
