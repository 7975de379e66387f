"""From a trained run to the map of its scene."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nerfseg_ns.console.progress import say
from nerfseg_ns.core.files import write_text, writing
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.areas import AreaCounter
from nerfseg_ns.maps.cloud import CloudWriter
from nerfseg_ns.maps.config import MapConfig
from nerfseg_ns.maps.existing_cloud import CloudClassifier, check_cloud
from nerfseg_ns.maps.extent import Extent, field_grid, find_extent, two_digits
from nerfseg_ns.maps.field_raster import field_raster
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.labelling import label_tiles, look_at_map, map_tiles
from nerfseg_ns.maps.las_classes import Code, las_codes
from nerfseg_ns.maps.layers import Layers
from nerfseg_ns.maps.mosaic import PhotoMosaic
from nerfseg_ns.maps.polygons import find_polygons, write_polygons
from nerfseg_ns.maps.rasters import NO_HEIGHT, RasterWriter, write_class_names, write_grey_style
from nerfseg_ns.maps.surface import Surface
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.runs.load import load_run
from nerfseg_ns.training.checkpoints import find_checkpoint

FACTS = "map.json"
RASTERS = ("labels", "confidence", "ortho", "dsm", "seen")
FILES = (
    *(f"{name}{suffix}" for name in RASTERS for suffix in (".tif", ".tif.aux.xml", ".qml")),
    "classes.gpkg",
    "areas.csv",
    "cloud.laz",
    "cloud.ply",
)
"""Of a map, beside `FACTS` and what is made of other people's clouds; the .aux.xml of GIS programs among them."""
LEFT_FOR = 24 * 3600
"""Seconds after which what a killed map left is taken away: another may be at work in the same folder."""


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
    if config.cloud is not None:
        check_cloud(config.cloud, codes)
    extent = find_extent(pipeline, config.crs)
    grid = plan_grid(extent, config)
    with scratch_folder(output) as place:
        layers, areas = make_layers(pipeline, extent, grid, find_checkpoint(config.load_config), place)
        finished = place / "finished"
        with writing(output):
            finished.mkdir()
            write_clouds(grid, layers, codes, config, finished)
            write_layers(table, grid, layers, finished)
            write_classes(table, grid, layers, areas, config.min_area, finished, place)
            write_text(finished / FACTS, json.dumps(_facts(grid, config), indent=1) + "\n")
            replace_map(finished, output)
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


def replace_map(finished: Path, output: Path) -> None:
    """Puts a finished map in the place of an earlier one. map.json goes first and comes last: without it a folder holds
    no whole map."""
    for name in (FACTS, *FILES):
        (output / name).unlink(missing_ok=True)
    for path in sorted(finished.iterdir(), key=lambda path: path.name == FACTS):
        os.replace(path, output / path.name)


def plan_grid(extent: Extent, config: MapConfig) -> MapGrid:
    """The raster of the map.

    Raises:
        UserError: it would have too many pixels.
    """
    unit, resolution = extent.frame.unit, config.resolution or two_digits(extent.distance)
    grid = MapGrid.around(extent.frame, extent.surface, resolution, extent.ceiling)
    if grid.rows * grid.columns > config.max_pixels:
        raise UserError(
            f"A map of {grid.columns:,} x {grid.rows:,} pixels of {resolution:g} {unit} is larger than --max-pixels "
            f"({config.max_pixels:,}). Choose a coarser --resolution, or raise --max-pixels."
        )
    say(
        f"A map of {grid.columns:,} x {grid.rows:,} pixels of {resolution:g} {unit} (the photos' ground sample "
        f"distance is {extent.distance:.3g})."
    )
    return grid


@contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """A folder beside the map for what is large and not kept."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for left in output.glob(".layers-*"):
            if time.time() - left.stat().st_mtime > LEFT_FOR:
                shutil.rmtree(left, ignore_errors=True)
        place = Path(tempfile.mkdtemp(prefix=".layers-", dir=output))
    except OSError as error:
        raise UserError(f"Cannot write {output}: {error.strerror or error}. Choose another --output-dir.") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def make_layers(
    pipeline: NerfSegPipeline, extent: Extent, grid: MapGrid, checkpoint: Path, place: Path
) -> tuple[Layers, AreaCounter]:
    """Surface, colors and labels of every pixel, and how much each class covers."""
    model, dataset = pipeline.model.eval(), pipeline.datamanager.train_dataset
    with_eye = model.fusion.photo_weight > 0
    with writing(place):
        layers = Layers(place, grid, len(model.class_names), with_eye)
    field = field_raster(model, field_grid(pipeline, extent), checkpoint, place)
    mosaic = PhotoMosaic(dataset, grid, Surface(field.grid, field.heights))
    map_tiles(model, mosaic, field, grid, layers)
    if with_eye:
        longest = int(max(dataset.cameras.width.max(), dataset.cameras.height.max()))
        look_at_map(model, grid, layers, model.eye.scale(longest) * grid.resolution / extent.distance)
    return layers, label_tiles(model, grid, layers)


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
        shifted = f" Its heights lie {-counts.shift:+.1f} {grid.frame.unit} from the map's." if counts.shift else ""
        say(f"{target.name}: {counts.classified:,} of {counts.points:,} points have the map's classes.{shifted}")


def write_classes(
    table: ClassTable,
    grid: MapGrid,
    layers: Layers,
    areas: AreaCounter,
    min_area: float | None,
    output: Path,
    place: Path,
) -> None:
    """Polygons and areas of the classes."""
    pixel_area = grid.resolution**2 / grid.frame.areal_scale(grid.left, grid.top)
    if min_area is None:
        min_area = 1.0 if grid.frame.is_georeferenced else 16 * pixel_area
    polygons = find_polygons(layers.labels, layers.confidence, grid, round(min_area / pixel_area), place)
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
        "confidence", layers.confidence, "AVERAGE", nodata=0, MEANING="probability: (value - 1) / 254; 0: not seen"
    )
    write_grey_style(confidence, 1, 255)
    writer.write("ortho", layers.colors, "AVERAGE")
    known = layers.sample_heights()
    for rows in layers.strips():
        layers.heights[rows] = np.where(layers.seen[rows] > 0, layers.heights[rows], NO_HEIGHT)
    dsm = writer.write("dsm", layers.heights, "AVERAGE", nodata=NO_HEIGHT, HEIGHTS=frame.heights)
    if len(known):
        write_grey_style(dsm, *np.quantile(known, [0.01, 0.99]).tolist())
    most = max(int(layers.seen[rows].max()) for rows in layers.strips())
    write_grey_style(writer.write("seen", layers.seen, "NEAREST", MEANING="photos that see the place"), 0, most)
