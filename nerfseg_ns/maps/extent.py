"""What of the world the photos of a run see, in map coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray
from pyproj.exceptions import CRSError

from nerfseg_ns.console.progress import say
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import METADATA_KEY
from nerfseg_ns.geo.grids import rough_way_remark
from nerfseg_ns.geo.map_frame import GeoMapFrame, LocalMapFrame, MapFrame
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.pipeline import NerfSegPipeline

WGS_84 = "EPSG:4326"
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
        _say_if_rough(WGS_84, crs)
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


def _say_if_rough(source: str, crs: str | None) -> None:
    """That the map may lie some metres off, if PROJ can do no better; unknown systems are refused later."""
    try:
        remark = "" if crs is None else rough_way_remark(source, crs)
    except CRSError:
        return
    if remark:
        say(remark)


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


def field_grid(pipeline: NerfSegPipeline, extent: Extent) -> MapGrid:
    """The raster of what the field shows from above: as fine as the geometry, but not finer than the photos."""
    spacing = two_digits(max(extent.distance, field_spacing(pipeline, extent)))
    return MapGrid.around(extent.frame, extent.surface, spacing, extent.ceiling)


def field_spacing(pipeline: NerfSegPipeline, extent: Extent) -> float:
    """Half a cell of the geometry's finest planes, which know nothing finer, in the map's unit; of geometries without
    planes that of two pixels of a photo."""
    geometry = pipeline.model.geometry
    if not hasattr(geometry, "frame") or not hasattr(geometry.config, "resolutions"):
        return 2 * extent.distance
    cell = 2 * float(geometry.frame.half_size[:2].max()) / max(geometry.config.resolutions)
    ends = extent.frame.to_scene(np.array([[0.0, 0, 0], [1.0, 0, 0]]) + extent.surface.mean(axis=0))
    return cell / 2 / float(np.linalg.norm(ends[1] - ends[0]))


def two_digits(distance: float) -> float:
    """Rounded to two digits, which are enough for the side of a pixel."""
    return float(f"{distance:.2g}")
