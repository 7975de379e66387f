"""From polygons on a map to labels of photos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

import numpy as np
import shapely
from jaxtyping import UInt
from numpy import ndarray
from PIL import Image

from nerfseg_ns.console.progress import progress_bar, say
from nerfseg_ns.console.train_command import train_command
from nerfseg_ns.core.device import device_type
from nerfseg_ns.core.projection import Projector
from nerfseg_ns.dataparsers.detect import CARLA_MVS, detect_dataparser
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.maps.drawn.carry import Carrier
from nerfseg_ns.maps.drawn.classes import find_classes
from nerfseg_ns.maps.drawn.config import FOLDER, DrawnConfig
from nerfseg_ns.maps.drawn.features import Features, read_features
from nerfseg_ns.maps.drawn.label_files import LabelFolder
from nerfseg_ns.maps.drawn.report import Result, say_drawn, say_result
from nerfseg_ns.maps.drawn.shapes import Shapes, make_shapes
from nerfseg_ns.maps.drawn.sheet import Sheet
from nerfseg_ns.maps.drawn.sightings import Sighting, choose_photos, find_sightings
from nerfseg_ns.maps.extent import Extent, field_grid, field_spacing, find_extent
from nerfseg_ns.maps.field_raster import field_raster
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.surface import Surface
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.runs.load import load_run
from nerfseg_ns.runs.scene import scene_of
from nerfseg_ns.training.checkpoints import find_checkpoint

STROKE = 3.0
"""Width of lines and points, pixels of the photos, as in other label files."""
TOLERANCE = 0.01
"""Of the cameras' height: how far from the surface as seen from above a pixel's place may be."""
MOST_STEP = 8
"""Pixels of a photo from ray to ray, at the most."""


def run_labels_from_map(scene: Optional[Path], config: DrawnConfig) -> Path:
    """Writes label files of the photos that see what was drawn.

    Args:
        scene: its folder; may be left out.
        config: what was drawn, and how it becomes labels.

    Returns:
        The folder that they are in.

    Raises:
        UserError: options, file or run are not usable; then nothing is written.
    """
    config.check(scene)
    features = read_features(config.polygons, config.layer)
    pipeline = load_run(config.load_config)
    data = scene_of(pipeline, config.load_config, scene)
    table = pipeline.datamanager.train_dataset.label_maps.table
    output = (config.output_dir or default_folder(data)).expanduser().resolve()
    problems = ErrorCollector()
    with problems.collect():
        reading = find_classes(features, table, config.field)
    with problems.collect():
        folder = LabelFolder(output, table, config.overwrite)
    problems.raise_found()
    extent = find_extent(pipeline, None)
    shapes = make_shapes(features, reading.classes, extent.frame, config.stroke_width or STROKE * extent.distance)
    work = prepare(pipeline, extent, features, shapes, config)
    photos = pipeline.datamanager.train_dataset.image_filenames
    folder.require_free(photos[sighting.view].stem for sighting in work.sightings)
    removed = folder.remove_earlier()
    say_drawn(shapes, reading.name, extent.distance**2)
    result = Result.of(len(table), len(shapes))
    for sighting, numbers in carry_all(work):
        labels = work.sheet.classes_of(numbers)
        if result.add(labels, numbers):
            photo = photos[sighting.view]
            result.written.append(folder.write(photo.stem, _resize(labels, _label_size(pipeline, photo))))
    say_result(result, work.sheet, work.carrier.surface.grid, table, config.photos)
    if removed:
        say(f"They took the place of {removed} label files of an earlier drawing.")
    _say_next(data, output)
    return output


@dataclass(frozen=True)
class Work:
    """All that labels are made with."""

    carrier: Carrier
    sheet: Sheet
    sightings: List[Sighting]
    """Of the photos to label."""


def default_folder(data: Path) -> Path:
    """Where a training finds labels as --label-folder labels-from-map."""
    scene = data if data.is_dir() else data.parent
    return scene / "train" / FOLDER if detect_dataparser(data) == CARLA_MVS else scene / FOLDER


def prepare(pipeline: NerfSegPipeline, extent: Extent, features: Features, shapes: Shapes, config: DrawnConfig) -> Work:
    """Looks at the scene from above and finds the photos that see what was drawn.

    Raises:
        UserError: nothing was drawn where the scene is, or no photo sees it.
    """
    model, dataset = pipeline.model.eval(), pipeline.datamanager.train_dataset
    grid = MapGrid.around(extent.frame, extent.surface, extent.distance, extent.ceiling)
    sheet = Sheet.draw(shapes, grid, extent.distance, config.margin)
    if sheet is None:
        raise UserError(_elsewhere(features, shapes, extent))
    with tempfile.TemporaryDirectory() as place:
        field = field_raster(model, field_grid(pipeline, extent), find_checkpoint(config.load_config), Path(place))
        surface = Surface(field.grid, field.heights)
    sightings, numbers = find_sightings(Projector(dataset.cameras), surface, sheet)
    if not sightings:
        raise UserError(
            f"No photo to train on sees anything of what is drawn in {features.place}. Draw where photos are."
        )
    if config.photos:
        sightings = choose_photos(sightings, numbers, config.photos)
    tolerance, step = TOLERANCE * extent.height, round(field_spacing(pipeline, extent) / extent.distance)
    return Work(
        Carrier(model, dataset.cameras, sheet, surface, min(max(step, 1), MOST_STEP), tolerance), sheet, sightings
    )


def _elsewhere(features: Features, shapes: Shapes, extent: Extent) -> str:
    drawn, seen = shapely.total_bounds(shapes.areas), extent.surface[:, :2]
    middle, centre = (drawn[:2] + drawn[2:]) / 2, (seen.min(axis=0) + seen.max(axis=0)) / 2
    away, unit = float(np.linalg.norm(middle - centre)), extent.frame.unit
    crs = "no coordinate system, and was taken for the map's" if features.crs is None else features.crs.name
    return (
        f"Nothing in {features.place} lies where the scene is: its middle is {away:,.0f} {unit} off ({middle[0]:.1f}, "
        f"{middle[1]:.1f} instead of about {centre[0]:.1f}, {centre[1]:.1f}). The file has {crs}: is that the one that "
        "it was drawn in?"
    )


def carry_all(work: Work) -> Iterator[tuple[Sighting, UInt[ndarray, "height width"]]]:
    """The shapes that the pixels of each photo show."""
    with progress_bar("Labelling photos", len(work.sightings)) as tell:
        for done, sighting in enumerate(work.sightings, start=1):
            yield sighting, work.carrier.carry(sighting)
            tell(done)


def _label_size(pipeline: NerfSegPipeline, photo: Path) -> tuple[int, int]:
    """Width and height that labels of a photo must have."""
    parser = pipeline.datamanager.dataparser
    if hasattr(parser, "label_size"):
        return parser.label_size(photo)
    with Image.open(photo) as image:
        return image.size


def _resize(labels: ndarray, size: tuple[int, int]) -> ndarray:
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))


def _say_next(data: Path, output: Path) -> None:
    """How a training takes the labels, if they lie where it looks for them."""
    say(f"The labels are in {output}")
    if output == default_folder(data).resolve():
        command = train_command(data, detect_dataparser(data), device_type(), {"label_folder": FOLDER})
        say(f"Train on them with: {command}")
