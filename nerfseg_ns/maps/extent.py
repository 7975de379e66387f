"""What of the world the photos of a run see, in map coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import METADATA_KEY
from nerfseg_ns.geo.map_frame import GeoMapFrame, LocalMapFrame, MapFrame
from nerfseg_ns.pipeline import NerfSegPipeline

LOOKS = 24
"""Rays of a photo, along its longer side, that find where the scene is."""
MOST_VIEWS = 400
TRIMMED = 0.002


@dataclass(frozen=True)
class Extent:
    """What the photos of a run see."""

    frame: MapFrame
    surface: Float64[ndarray, "points 3"]
    """Points of it, in map coordinates."""
    distance: float
    """What a pixel of a photo covers on the ground, straight below; in the map's unit."""
    height: float
    """Of the cameras above the surface, in the median."""
    ceiling: float
    """A height above all of it."""


def find_extent(pipeline: NerfSegPipeline, crs: str | None) -> Extent:
    """Where the scene is, and how fine its photos are.

    Raises:
        UserError: it cannot be mapped.
    """
    frame = make_frame(pipeline, crs)
    cameras = pipeline.datamanager.train_dataset.cameras
    surface = without_strays(frame.from_scene(_looked_at(pipeline).numpy()))
    origins = frame.from_scene(cameras.camera_to_worlds[:, :, 3].cpu().numpy())
    height = float(np.median(origins[:, 2]) - np.median(surface[:, 2]))
    if height <= 0:
        raise UserError("The cameras of this scene lie below its surface: a map from above cannot be made of it.")
    distance = height / float(cameras.fx.median())  # of a photo that looks straight down
    ceiling = max(float(origins[:, 2].max()), float(surface[:, 2].max()) + 0.1 * height)
    return Extent(frame, surface, distance, height, ceiling)


def make_frame(pipeline: NerfSegPipeline, crs: str | None) -> MapFrame:
    """The map's coordinates: on the earth if the run knows where it is.

    Raises:
        UserError: a coordinate system is asked for, but the scene is nowhere; or nobody knows which way is up.
    """
    outputs = pipeline.datamanager.train_dataparser_outputs
    georeference = outputs.metadata.get(METADATA_KEY)
    if georeference is not None:
        return GeoMapFrame(georeference, crs)
    if crs is not None:
        raise UserError(
            f"--crs {crs} needs a scene that knows where it is: photos with GPS positions (nerfseg photos), or Earth "
            "Studio's tracking data. Leave it out for a map in the scene's own units."
        )
    say("The scene is not georeferenced: the map has the scene's own axes, in units of its poses.")
    geometry = pipeline.model.geometry
    frame = getattr(geometry, "frame", None)
    rotation = np.eye(3) if frame is None else frame.rotation.cpu().double().numpy()
    return LocalMapFrame(rotation, float(outputs.dataparser_scale))


@torch.no_grad()
def _looked_at(pipeline: NerfSegPipeline) -> Float64[ndarray, "points 3"]:
    """Points of the surface, evenly over the photos."""
    model, cameras = pipeline.model, pipeline.datamanager.train_dataset.cameras
    points = []
    for view in evenly_spaced_indices(len(cameras), MOST_VIEWS):
        width, height = int(cameras.width[view]), int(cameras.height[view])
        step = max(1, max(width, height) // LOOKS)
        rows, columns = torch.arange(step // 2, height, step), torch.arange(step // 2, width, step)
        coords = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2) + 0.5
        rays = cameras.generate_rays(torch.full((len(coords), 1), view), coords=coords).to(model.device)
        level = model.render(rays)[-1]
        ends = level.accumulation[:, 0] > 0.5
        points.append((rays.origins + rays.directions * level.depth)[ends].cpu().double())
    return torch.cat(points)


def without_strays(points: Float64[ndarray, "points 3"]) -> Float64[ndarray, "points 3"]:
    """Points but for the few that lie farther off than the rest: where photos see the horizon, rays end anywhere."""
    low, inner_low, inner_high, high = np.quantile(points, [TRIMMED, 0.1, 0.9, 1 - TRIMMED], axis=0)
    reach = inner_high - inner_low
    low, high = np.maximum(low, inner_low - reach), np.minimum(high, inner_high + reach)
    return points[((points >= low) & (points <= high)).all(axis=1)]


def ray_step(pipeline: NerfSegPipeline, resolution: float) -> int:
    """Pixels from ray to ray: two rays for each cell of the geometry's finest planes, which know nothing finer.

    Args:
        pipeline: of the run.
        resolution: side of a pixel on the ground, in the map's unit.
    """
    geometry = pipeline.model.geometry
    if not hasattr(geometry, "frame") or not hasattr(geometry.config, "resolutions"):
        return 2
    outputs = pipeline.datamanager.train_dataparser_outputs
    georeference = outputs.metadata.get(METADATA_KEY)
    per_unit = georeference.metres_per_unit if georeference is not None else 1 / float(outputs.dataparser_scale)
    cell = 2 * float(geometry.frame.half_size[:2].max()) / max(geometry.config.resolutions) * per_unit
    return max(1, min(8, round(cell / 2 / resolution)))
