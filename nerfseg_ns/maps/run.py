"""From a trained run to the map of its scene."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray

from nerfseg_ns.console.progress import say
from nerfseg_ns.core.files import write_text
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import METADATA_KEY
from nerfseg_ns.geo.map_frame import GeoMapFrame, LocalMapFrame, MapFrame
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.areas import AreaCounter
from nerfseg_ns.maps.cloud import CloudWriter
from nerfseg_ns.maps.config import MapConfig
from nerfseg_ns.maps.existing_cloud import CloudClassifier
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.labelling import label_tiles, look_at_map, map_tiles
from nerfseg_ns.maps.las_classes import Code, las_codes
from nerfseg_ns.maps.layers import Layers
from nerfseg_ns.maps.mosaic import PhotoMosaic
from nerfseg_ns.maps.polygons import find_polygons, write_polygons
from nerfseg_ns.maps.rasters import NO_HEIGHT, RasterWriter, write_class_names, write_grey_style
from nerfseg_ns.maps.surface import HeightRaster
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.runs.load import load_run

LOOKS = 24
"""Rays of a photo, along its longer side, that find where the scene is."""
MOST_VIEWS = 400
TRIMMED = 0.002
COARSE_CELLS = 1500
"""Cells, along the longer side of a map, of the raster that says what hides what."""


def run_map(config: MapConfig) -> Path:
    """Writes the map of a scene.

    Args:
        config: which run, and how.

    Returns:
        The folder that it is in.

    Raises:
        UserError: options or run are not usable.
    """
    config.check()
    pipeline = load_run(config.load_config)
    output = config.output_dir.expanduser().resolve()
    table = pipeline.datamanager.train_dataset.label_maps.table
    codes = las_codes(table, config.las_classes)
    grid, sample_distance = plan_grid(pipeline, config)
    with workplace(output) as place:
        layers, areas = make_layers(pipeline, grid, sample_distance, place)
        write_clouds(grid, layers, codes, config, output)
        write_layers(table, grid, layers, output)
        write_classes(table, grid, layers, areas, config.min_area, output)
        write_text(output / "map.json", json.dumps(_facts(grid, config), indent=1) + "\n")
    say(f"labels.tif, confidence.tif, ortho.tif, dsm.tif, seen.tif, classes.gpkg and areas.csv are in {output}")
    return output


def _facts(grid: MapGrid, config: MapConfig) -> dict[str, object]:
    """What a program that reads the map may want to know of it."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) + [grid.left, grid.top, grid.floor]
    origin, *axes = grid.frame.to_scene(corners)
    return {
        "run": str(config.load_config.resolve()),
        "resolution": grid.resolution,
        "unit": grid.frame.unit,
        "georeferenced": grid.frame.is_georeferenced,
        "heights": grid.frame.heights,
        "accuracy": grid.frame.accuracy,
        "crs": grid.frame.crs,
        "anchor": corners[0].tolist(),
        "anchor_in_run": origin.tolist(),
        "axes_in_run": (np.array(axes) - origin).tolist(),
        "note": "a place of the map in the coordinates of the run: anchor_in_run + (place - anchor) @ axes_in_run",
    }


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


def plan_grid(pipeline: NerfSegPipeline, config: MapConfig) -> tuple[MapGrid, float]:
    """The raster of the map: what the photos see of the scene; and what a pixel of a photo covers on the ground.

    Raises:
        UserError: it would have too many pixels.
    """
    frame = make_frame(pipeline, config.crs)
    cameras = pipeline.datamanager.train_dataset.cameras
    surface = frame.from_scene(_looked_at(pipeline).numpy())
    surface = without_strays(surface)
    origins = frame.from_scene(cameras.camera_to_worlds[:, :, 3].cpu().numpy())
    height = float(np.median(origins[:, 2]) - np.median(surface[:, 2]))
    if height <= 0:
        raise UserError("The cameras of this scene lie below its surface: a map from above cannot be made of it.")
    distance = height / float(cameras.fx.median())  # of a photo that looks straight down
    resolution = config.resolution or _round(distance)
    ceiling = max(float(origins[:, 2].max()), float(surface[:, 2].max()) + 0.1 * height)
    grid = MapGrid.around(frame, surface, resolution, ceiling)
    if grid.rows * grid.columns > config.max_pixels:
        raise UserError(
            f"A map of {grid.columns:,} x {grid.rows:,} pixels of {resolution:g} {frame.unit} is larger than "
            f"--max-pixels ({config.max_pixels:,}). Choose a coarser --resolution, or raise --max-pixels."
        )
    say(
        f"A map of {grid.columns:,} x {grid.rows:,} pixels of {resolution:g} {frame.unit} (the photos' ground sample "
        f"distance is {distance:.3g})."
    )
    return grid, distance


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


def _round(distance: float) -> float:
    """Two digits are enough for the side of a pixel."""
    return float(f"{distance:.2g}")


@contextmanager
def workplace(output: Path) -> Iterator[Path]:
    """A folder beside the map for what is large and not kept."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".layers-", dir=output))
    except OSError as error:
        raise UserError(f"Cannot write {output}: {error.strerror or error}. Choose another --output-dir.") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def make_layers(
    pipeline: NerfSegPipeline, grid: MapGrid, sample_distance: float, place: Path
) -> tuple[Layers, AreaCounter]:
    """Surface, colors and labels of every pixel, and how much each class covers."""
    model, dataset = pipeline.model.eval(), pipeline.datamanager.train_dataset
    with_eye = model.fusion.photo_weight > 0
    layers = Layers(place, grid, len(model.class_names), with_eye)
    coarse = max(1, round(max(grid.rows, grid.columns) / COARSE_CELLS))
    mosaic = PhotoMosaic(dataset, HeightRaster(model, grid, max(coarse, 2)))
    map_tiles(model, mosaic, grid, layers, ray_step(pipeline, grid))
    if with_eye:
        longest = int(max(dataset.cameras.width.max(), dataset.cameras.height.max()))
        look_at_map(model, grid, layers, model.eye.scale(longest) * grid.resolution / sample_distance)
    return layers, label_tiles(model, grid, layers)


def ray_step(pipeline: NerfSegPipeline, grid: MapGrid) -> int:
    """Pixels from ray to ray: two rays for each cell of the geometry's finest planes, which know nothing finer."""
    geometry = pipeline.model.geometry
    if not hasattr(geometry, "frame") or not hasattr(geometry.config, "resolutions"):
        return 2
    outputs = pipeline.datamanager.train_dataparser_outputs
    georeference = outputs.metadata.get(METADATA_KEY)
    per_unit = georeference.metres_per_unit if georeference is not None else 1 / float(outputs.dataparser_scale)
    cell = 2 * float(geometry.frame.half_size[:2].max()) / max(geometry.config.resolutions) * per_unit
    return max(1, min(8, round(cell / 2 / grid.resolution)))


def write_clouds(grid: MapGrid, layers: Layers, codes: list[Code], config: MapConfig, output: Path) -> None:
    """The map as points, and the classes of a given cloud, if they are wanted. Before the heights of places that nobody
    sees are lost: the ground goes on under them."""
    if config.cloud_spacing == 0 and config.cloud is None:
        return
    writer = CloudWriter(grid, layers, codes, config.cloud_spacing or 2)
    if config.cloud_spacing > 0:
        count = writer.write_laz(output / "cloud.laz")
        writer.write_ply(output / "cloud.ply", count)
        say(f"cloud.laz and cloud.ply have {count:,} points.")
    if config.cloud is not None:
        target = output / f"{config.cloud.stem}-classified{config.cloud.suffix}"
        counts = CloudClassifier(grid, layers, writer).write(config.cloud, target)
        shifted = f" Its heights lie {counts.shift:+.1f} below the map's." if counts.shift else ""
        say(f"{target.name}: {counts.classified:,} of {counts.points:,} points have the map's classes.{shifted}")


def write_classes(
    table: ClassTable, grid: MapGrid, layers: Layers, areas: AreaCounter, min_area: float | None, output: Path
) -> None:
    """Polygons and areas of the classes."""
    pixel_area = grid.resolution**2 / grid.frame.areal_scale(grid.left, grid.top)
    if min_area is None:
        min_area = 1.0 if grid.frame.is_georeferenced else 16 * pixel_area
    polygons = find_polygons(layers.labels, layers.confidence, grid, round(min_area / pixel_area))
    write_polygons(output / "classes.gpkg", polygons, table, grid)
    areas.write(output / "areas.csv", table, pixel_area, "m2" if grid.frame.is_georeferenced else "units2")


def write_layers(table: ClassTable, grid: MapGrid, layers: Layers, output: Path) -> None:
    """The rasters of a map."""
    frame = grid.frame
    tags = {"SOFTWARE": "nerfseg map", "UNIT": frame.unit, "GEOREFERENCED": str(frame.is_georeferenced)}
    tags.update({f"ACCURACY_{name.upper()}": f"{value:g}" for name, value in frame.accuracy.items()})
    writer = RasterWriter(output, grid, tags)
    colors = dict(enumerate(table.colors)) | {IGNORE_INDEX: (0, 0, 0)}
    labels = writer.write("labels", layers.labels, "MODE", nodata=IGNORE_INDEX, colors=colors)
    write_class_names(labels, table)
    confidence = writer.write(
        "confidence", layers.confidence, "AVERAGE", nodata=0, MEANING="1 to 255: 0 to 1; 0: not seen"
    )
    write_grey_style(confidence, 1, 255)
    writer.write("ortho", layers.colors, "AVERAGE")
    seen = np.asarray(layers.seen)
    layers.heights[seen == 0] = NO_HEIGHT
    dsm = writer.write("dsm", layers.heights, "AVERAGE", nodata=NO_HEIGHT, HEIGHTS=frame.heights)
    known = layers.heights[seen > 0]
    if len(known):
        write_grey_style(dsm, *np.quantile(known[:: max(1, len(known) // 10**6)], [0.01, 0.99]).tolist())
    write_grey_style(
        writer.write("seen", layers.seen, "NEAREST", MEANING="photos that see the place"), 0, int(seen.max())
    )
