"""The colors of a map: the photos' own pixels, laid onto the surface.

At each place the photos that see it best are blended, sharply, so that seams are soft and nothing is seen twice. The
photos' exposures are brought together first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.console.progress import progress_bar
from nerfseg_ns.core.projection import Projector
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.maps.exposure import PlaceColors, find_gains
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.maps.sampled_photos import SampledPhotos
from nerfseg_ns.maps.surface import Surface

STEP = 4
"""Pixels of the map, at least, from place to place at which photos are weighed."""
BEST = 6
"""Photos whose view to a place is followed first."""
CANDIDATE_STEP = 8
"""Of the places at which photos are weighed, from one to the next at which it is asked which photos are near."""
COUNT_STEP = 4
"""From one to the next at which the photos that see it are counted."""
SHARPNESS = 8.0
"""Power that weights are taken to before they are normalised: few places mix photos."""
LEAST_WEIGHT = 0.02
GAIN_PLACES = 20_000
"""Of the map, at which exposures are compared."""


@dataclass
class _Places:
    """Places of the surface."""

    points: Float[ndarray, "places 3"]
    """In map coordinates."""
    in_scene: Float[Tensor, "places 3"]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def middle(self) -> float:
        """Their mean height."""
        return float(self.points[:, 2].mean())

    def some(self, index: ndarray) -> _Places:
        """Some of them."""
        return _Places(self.points[index], self.in_scene[index])


@dataclass
class Mosaic:
    """Colors of a tile."""

    colors: Float[Tensor, "rows columns 3"]
    """0 to 1; black where no photo sees."""
    seen: UInt8[Tensor, "rows columns"]
    """How many photos see each place."""


class PhotoMosaic:
    """Lays photos onto the surface.

    Args:
        dataset: the photos.
        grid: of the map.
        surface: of the scene.
    """

    def __init__(self, dataset: LabelledDataset, grid: MapGrid, surface: Surface) -> None:
        self.dataset, self.surface, self.grid = dataset, surface, grid
        self.step = max(STEP, round(surface.grid.resolution / grid.resolution))
        self.projector = Projector(dataset.cameras)
        self.cameras = self.grid.frame.from_scene(self.projector.origins.numpy())
        self.photos = SampledPhotos(dataset)
        self.gains = find_gains(self._shared_colors(), GAIN_PLACES)

    def make(self, tile: Tile, heights: Float[Tensor, "rows columns"]) -> Mosaic:
        """Colors of a tile.

        Args:
            tile: of the map.
            heights: of every pixel of it.
        """
        views, weights, counts = self._weigh(tile)
        points = self.grid.scene_points(tile, heights).reshape(-1, 3)
        total = torch.zeros(len(points), 1)
        colors = torch.zeros(len(points), 3)
        for view, coarse in zip(views, weights):
            weight = F.interpolate(coarse[None, None], size=(tile.rows, tile.columns), mode="bilinear")[0, 0].flatten()
            chosen = (weight > LEAST_WEIGHT).nonzero()[:, 0]
            projected = self.projector.project(view, points[chosen])
            chosen, pixels = chosen[projected.inside], projected.pixels[projected.inside]
            part = weight[chosen, None]
            colors[chosen] += part * self.photos.sample(view, pixels) * self.gains[view].exp()
            total[chosen] += part
        colors = (colors / total.clamp(min=1e-6)).clamp(0.0, 1.0).view(tile.rows, tile.columns, 3)
        seen = F.interpolate(counts[None, None], size=(tile.rows, tile.columns), mode="nearest")[0, 0]
        seen = torch.where(total.view(tile.rows, tile.columns) > 0, seen.clamp(min=1), torch.zeros_like(seen))
        return Mosaic(colors, seen.clamp(max=255).byte())

    def _weigh(
        self, tile: Tile
    ) -> tuple[list[int], Float[Tensor, "views rows columns"], Float[Tensor, "rows columns"]]:
        """Photos of which a tile is made, how much each of them counts at each coarse place, and how many see it."""
        rows, columns = self.grid.lattice(tile, self.step)
        shape = len(rows), len(columns)
        places = self._places(rows.numpy(), columns.numpy())
        candidates = self._candidates(places.some(_every(shape, CANDIDATE_STEP)))
        if not candidates:
            return [], torch.zeros(0, *shape), torch.zeros(shape)
        weights = torch.stack([self._weigh_photo(view, places) for view in candidates])
        self._hide(candidates, weights, places)
        counts = self._count(candidates, places, shape)
        used = (weights > 0).any(dim=1)
        weights = weights[used]
        sharp = (weights / weights.amax(dim=0).clamp(min=1e-9)) ** SHARPNESS if len(weights) else weights
        views = [view for view, wanted in zip(candidates, used.tolist()) if wanted]
        return views, (sharp / sharp.sum(dim=0).clamp(min=1e-9)).view(-1, *shape), counts

    def _places(self, rows: Float[ndarray, "rows"], columns: Float[ndarray, "columns"]) -> _Places:
        """Places of the surface, above every pair of a row and a column."""
        mesh = np.meshgrid(rows, columns, indexing="ij")
        return self._places_at(self.grid.positions(*(axis.ravel() for axis in mesh)))

    def _places_at(self, xy: Float[ndarray, "places 2"]) -> _Places:
        points = np.column_stack([xy, self.surface.at(xy).numpy()])
        return _Places(points, torch.from_numpy(self.grid.frame.to_scene(points)))

    def _candidates(self, places: _Places) -> list[int]:
        """Photos that some of the places lie in, hidden or not."""
        return [
            view for view in range(len(self.projector)) if self.projector.project(view, places.in_scene).inside.any()
        ]

    def _hide(self, views: list[int], weights: Float[Tensor, "views places"], places: _Places) -> None:
        """Sets the weights of photos that do not see a place, or that others see much better, to 0: the view to the
        few best is followed at each place, and to all others only where none of these has it free."""
        best = torch.zeros_like(weights, dtype=torch.bool)
        best.scatter_(0, weights.topk(min(BEST, len(views)), dim=0).indices, True)
        rest = torch.where(best, 0.0, weights)
        weights.masked_fill_(~best, 0.0)
        self._hide_these(views, weights, places)
        blind = (weights == 0).all(dim=0) & (rest > 0).any(dim=0)
        if blind.any():
            index = blind.nonzero()[:, 0]
            left = rest[:, index]
            self._hide_these(views, left, places.some(index.numpy()))
            weights[:, index] = left

    def _hide_these(self, views: list[int], weights: Float[Tensor, "views places"], places: _Places) -> None:
        numbers, index = weights.nonzero(as_tuple=True)
        cameras = self.cameras[np.array(views)[numbers.numpy()]]
        seen = self.surface.sees(cameras, places.points[index.numpy()])
        weights[numbers[~seen], index[~seen]] = 0.0

    def _count(self, views: list[int], places: _Places, shape: tuple[int, int]) -> Float[Tensor, "rows columns"]:
        """How many photos see each place, by some of the places."""
        rows, columns = (axis.ravel() // COUNT_STEP * COUNT_STEP for axis in np.indices(shape))
        chosen, where = np.unique(rows * shape[1] + columns, return_inverse=True)
        some = places.some(chosen)
        weights = torch.stack([self._weigh_photo(view, some) for view in views])
        self._hide_these(views, weights, some)
        return (weights > 0).sum(dim=0).float()[torch.from_numpy(where)].view(shape)

    def _weigh_photo(self, view: int, places: _Places, hide: bool = False) -> Float[Tensor, "places"]:
        """How well a photo sees places: 0 where not, more the straighter down, the nearer and the farther from the
        photo's border.

        Args:
            view: the photo.
            places: of the surface.
            hide: leave out places that something stands before.
        """
        projected = self.projector.project(view, places.in_scene)
        weight = torch.zeros(len(places))
        index = projected.inside.nonzero()[:, 0]
        if hide and len(index):
            index = index[self.surface.sees(self.cameras[view], places.points[index.numpy()])]
        if not len(index):
            return weight
        size = torch.tensor([self.dataset.cameras.width[view].item(), self.dataset.cameras.height[view].item()])
        pixels = projected.pixels[index]
        border = (torch.minimum(pixels, size - pixels) / (size / 2)).amin(dim=-1)
        away = self.cameras[view] - places.points[index.numpy()]
        distance = np.linalg.norm(away, axis=-1)
        upright = torch.from_numpy(away[:, 2] / distance).float().clamp(min=0)
        nearness = torch.from_numpy(float(np.median(self.cameras[:, 2] - places.middle)) / distance).float()
        weight[index] = border.clamp(min=0.01) * upright**2 * nearness.clamp(max=1.5)
        return weight

    def _shared_colors(self) -> list[PlaceColors]:
        """What each photo shows of random places of the map that it sees."""
        random = np.random.default_rng(0)
        rows = random.uniform(0, self.grid.rows, GAIN_PLACES)
        columns = random.uniform(0, self.grid.columns, GAIN_PLACES)
        places = self._places_at(self.grid.positions(rows, columns))
        shown = []
        with progress_bar("Comparing the photos' exposures", len(self.projector)) as tell:
            for view in range(len(self.projector)):
                index = (self._weigh_photo(view, places, hide=True) > 0).nonzero()[:, 0]
                pixels = self.projector.project(view, places.in_scene[index]).pixels
                shown.append(PlaceColors(index, self.photos.sample(view, pixels)))
                tell(view + 1)
        return shown


def _every(shape: tuple[int, int], step: int) -> Int[ndarray, "places"]:
    """Every so many rows and columns of a lattice, and the last ones, as positions in it row by row."""
    rows, columns = (np.unique(np.r_[0:count:step, count - 1]) for count in shape)
    return (rows[:, None] * shape[1] + columns).ravel()
