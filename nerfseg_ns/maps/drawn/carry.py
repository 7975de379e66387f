"""Carries what was drawn on the map into a photo: each pixel by the place that it shows."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt
from nerfstudio.cameras.cameras import Cameras
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.maps.drawn.sheet import Sheet
from nerfseg_ns.maps.drawn.sightings import Sighting
from nerfseg_ns.maps.surface import Surface
from nerfseg_ns.model import NerfSegModel


class Carrier:
    """Finds which shape each pixel of a photo shows.

    Args:
        model: of the run, which knows the surface.
        cameras: of the photos.
        sheet: what was drawn.
        surface: as seen from straight above.
        step: pixels from ray to ray.
        tolerance: how far from that surface a pixel's place may be, in the map's unit. What is farther is a wall, or
            lies under a roof: on a map it has no place.
    """

    def __init__(
        self, model: NerfSegModel, cameras: Cameras, sheet: Sheet, surface: Surface, step: int, tolerance: float
    ) -> None:
        self.model, self.cameras, self.sheet, self.surface = model, cameras, sheet, surface
        self.step, self.tolerance = step, tolerance

    def carry(self, sighting: Sighting) -> UInt[ndarray, "height width"]:
        """Numbers of the shapes that a photo's pixels show; NOTHING where they show none."""
        view, (top, bottom, left, right) = sighting.view, sighting.window
        size = int(self.cameras.height[view]), int(self.cameras.width[view])
        numbers = np.zeros(size, dtype=self.sheet.on_top.dtype)
        places = self._places(view, sighting.window).reshape(-1, 3)
        found = self.sheet.at(places[:, :2])
        drawn = np.flatnonzero(found)
        found[drawn[~self.surface.is_top(places[drawn], self.tolerance)]] = 0
        numbers[top:bottom, left:right] = found.reshape(bottom - top, right - left)
        return numbers

    @torch.no_grad()
    def _places(self, view: int, window: tuple[int, int, int, int]) -> Float[ndarray, "rows columns 3"]:
        """Map coordinates of what the pixels of a window show; NaN where rays do not end."""
        top, bottom, left, right = window
        rows = torch.arange(-(-(bottom - top) // self.step)) * self.step + self.step / 2 + top
        columns = torch.arange(-(-(right - left) // self.step)) * self.step + self.step / 2 + left
        mesh = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        points = self._look(view, mesh.reshape(-1, 2)).numpy()
        places = torch.from_numpy(self.surface.grid.frame.from_scene(points)).T.reshape(1, 3, len(rows), len(columns))
        if self.step > 1:  # between a roof and the ground that gives places in the air, which are on no surface
            places = F.interpolate(places, scale_factor=self.step, mode="bilinear", align_corners=False)
        return places[0, :, : bottom - top, : right - left].movedim(0, -1).numpy()

    def _look(self, view: int, coords: Float[Tensor, "rays 2"]) -> Float[Tensor, "rays 3"]:
        """Points of the trained scene where rays through a photo's places (row, column) end; NaN where they do not."""
        found, count = [], self.model.rays_per_chunk
        for some in coords.split(count):
            rays = self.cameras.generate_rays(torch.full((len(some), 1), view), coords=some).to(self.model.device)
            level = self.model.render(rays)[-1]
            points = rays.origins + rays.directions * level.depth
            points[level.accumulation[:, 0] <= 0.5] = torch.nan
            found.append(points.cpu().double())
        return torch.cat(found)
