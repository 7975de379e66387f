"""How far away each pixel's surface is, from photos of known pose, also where SIFT matches nothing: leaves, lawns.

Each photo is swept with planes parallel to the ground against a few neighbours, its heights are made smooth but for
steps, and a height counts where other photos have found the same by themselves. It takes about half a second a
photo on a core.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track

from nerfseg_ns.core.processes import usable_cores
from nerfseg_ns.core.projection import Projector
from nerfseg_ns.geometry.dense.agreement import count_agreeing, places_at
from nerfseg_ns.geometry.dense.neighbours import find_neighbours
from nerfseg_ns.geometry.dense.semi_global import aggregate, best_level
from nerfseg_ns.geometry.dense.slab import Slab
from nerfseg_ns.geometry.dense.sweep import match_costs
from nerfseg_ns.geometry.dense.views import PinholeView, load_view
from nerfseg_ns.geometry.depth_rays import choose_views

SIDE = 320
"""Pixels of the longer side of a photo that is matched."""
NEIGHBOURS = 5
"""Photos that each is matched with."""
MOST_VIEWS, GROUP = 240, 6
"""Photos that are matched. Of more, groups of photos next to each other, spread over the flight."""
LEVEL_PIXELS, LEAST_LEVELS, MOST_LEVELS = 1.0, 32, 96
"""How far the pixels of a neighbour move from one height to the next, and bounds of the number of heights."""
TOLERANCE = 0.02
"""Heights of two photos agree that differ by less, as a share of the cameras' height."""
MAX_WORKERS = 16
"""Threads; each holds the costs of a photo three times, up to 40 MB each."""


@dataclass
class DenseView:
    """What is known of a photo's surface."""

    view: PinholeView
    slab: Slab
    heights: Float[np.ndarray, "height width"]
    """Above the ground, in units of the poses; NaN where nothing was found."""
    agreeing: UInt8[np.ndarray, "height width"]
    """Other photos that have found the same."""
    seeing: UInt8[np.ndarray, "height width"]
    """Other photos that have found anything there."""

    def places(self) -> Float[np.ndarray, "height width 3"]:
        """Of the pixels' surfaces; NaN where there are none."""
        return places_at(self.view, self.heights, self.slab)

    @property
    def trusted(self) -> Bool[np.ndarray, "height width"]:
        """Where at least two others agree, or one, where hardly another sees the place."""
        return (self.agreeing >= 2) | ((self.agreeing == 1) & (self.seeing <= 2))


def find_dense_depth(dataset: InputDataset, slab: Slab) -> dict[int, DenseView]:
    """Finds the surfaces of posed photos.

    Args:
        dataset: posed photos.
        slab: where the scene's ground is.

    Returns:
        By the index of the photo; without those that have no neighbour to be matched with.

    Raises:
        UserError: the cameras are neither perspective nor fisheye.
    """
    projector = Projector(dataset.cameras)
    among = choose_views(dataset.cameras, MOST_VIEWS, GROUP)
    near = find_neighbours(dataset.cameras, projector, slab, among, NEIGHBOURS)
    chosen = [view for view, others in near.items() if len(others)]
    with ThreadPoolExecutor(_workers()) as pool:
        views = dict(zip(near, pool.map(lambda view: load_view(dataset, projector, view, SIDE), near)))
        found = pool.map(lambda view: _heights(views[view], [views[int(other)] for other in near[view]], slab), chosen)
        shown = track(found, "Finding the surface in the photos", len(chosen), console=CONSOLE, transient=True)
        heights = dict(zip(chosen, shown))
        return dict(zip(chosen, pool.map(lambda view: _checked(view, views, heights, near, slab), chosen)))


def _workers() -> int:
    """Threads: as many as this process may use cores, shared with those that train with it."""
    return max(1, min(MAX_WORKERS, usable_cores() // comms.get_world_size()))


def _heights(view: PinholeView, others: list[PinholeView], slab: Slab) -> Float[np.ndarray, "height width"]:
    """Above the ground; NaN where the photo shows nothing or the height is beyond what was looked for."""
    camera_height = slab.above(view.origin)
    farthest = max(float(np.linalg.norm(other.origin - view.origin)) for other in others)
    ends = 1 / (camera_height - slab.levels(camera_height, 2))
    count = int(np.clip(np.ptp(ends) * view.focal * farthest / LEVEL_PIXELS, LEAST_LEVELS, MOST_LEVELS))
    levels = slab.levels(camera_height, count)
    level, inner = best_level(aggregate(match_costs(view, others, slab, levels)))
    found = np.interp(level, np.arange(count), levels)
    return np.where(inner & view.valid, found, np.nan).astype(np.float32)


def _checked(
    view: int,
    views: dict[int, PinholeView],
    heights: dict[int, Float[np.ndarray, "height width"]],
    near: dict[int, Int[np.ndarray, "near"]],
    slab: Slab,
) -> DenseView:
    others = [other for other in heights if other != view and (other in near[view] or view in near[other])]
    places = places_at(views[view], heights[view], slab)
    tolerance = TOLERANCE * slab.above(views[view].origin)
    counts = count_agreeing(places, heights[view], [(views[other], heights[other]) for other in others], tolerance)
    return DenseView(views[view], slab, heights[view], *counts)
