"""Scores a map of the built-in town against the town itself, cast straight down.

python tests/score_map.py TOWN MAP [--segmented MAPS] [--eye]

TOWN is a folder that nerfseg town or nerfseg demo made, of either layout, with its truth/map; MAP what nerfseg map
wrote of a run on it. Prints mIoU and accuracy of the label map, the error of each class's area, and the errors of the
surface. With MAPS, what nerfseg segment --load-config wrote of the same run, also the scores of a simple rival: each
place as the nearest photo's label map has it, by way of the map's surface. With --eye those of another: the trained eye
alone, which has learnt from the town's labelled photos, on the finished orthophoto.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyproj
import rasterio
import torch
from PIL import Image

from nerfseg_ns.core.projection import Projector
from nerfseg_ns.dataparsers.photo_names import name_photos
from nerfseg_ns.evaluation.confusion import confusion_matrix, segmentation_scores
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.extent import Extent, find_extent
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.labelling import look_at_map
from nerfseg_ns.maps.surface import Surface
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.runs.load import load_run
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.eye_source import EyeSource

CORE = 76.5
"""Metres from the middle within which the town is scored on its own: streets, houses, what is around them."""
FLIGHT = 76.5
"""Metres that the town's flights are high, in the median."""
RIVAL_STEP = 2
"""Of the pixels of a map, both ways, one in so many is asked of the nearest photo."""


@dataclass
class Truth:
    """The town's truth at the pixels of a map."""

    labels: np.ndarray
    """IGNORE_INDEX where there is none."""
    error: np.ndarray
    """How far the map's surface is above the town's, metres."""
    core: np.ndarray
    """Which pixels are in the middle of the town."""


def read(path: Path) -> np.ndarray:
    """A raster, [rows, columns] or [rows, columns, bands]."""
    with rasterio.open(path) as file:
        return np.moveaxis(file.read(), 0, -1).squeeze()


def truth_at(town: Path, folder: Path) -> Truth:
    """The truth at the pixels of a map, and the map's errors of height."""
    facts, record = (json.loads(path.read_text()) for path in (folder / "map.json", town / "town.json"))
    metres = record.get("metres_per_unit", 1.0)
    true_labels, true_heights = (read(town / "truth" / "map" / f"{name}.tif") for name in ("labels", "dsm"))
    with rasterio.open(town / "truth" / "map" / "labels.tif") as file:
        to_pixel, crs = ~file.transform, file.crs
    with rasterio.open(folder / "dsm.tif") as file:
        heights, transform = file.read(1), file.transform
    columns, rows = np.meshgrid(*(np.arange(count) + 0.5 for count in heights.shape[::-1]))
    places = np.stack([*(transform * (columns, rows)), heights], axis=-1)
    if facts["georeferenced"]:
        change = pyproj.Transformer.from_crs(facts["crs"], crs.to_wkt(), always_xy=True)
        places[..., 0], places[..., 1] = change.transform(places[..., 0], places[..., 1])
    else:  # the truth is in the axes of the poses, which are the run's
        places = np.array(facts["anchor_in_run"]) + (places - facts["anchor"]) @ np.array(facts["axes_in_run"])
    column, row = (np.floor(value).astype(int) for value in to_pixel * (places[..., 0], places[..., 1]))
    inside = (row >= 0) & (row < true_labels.shape[0]) & (column >= 0) & (column < true_labels.shape[1])
    row, column = row.clip(0, true_labels.shape[0] - 1), column.clip(0, true_labels.shape[1] - 1)
    labels = np.where(inside, true_labels[row, column], IGNORE_INDEX)
    side = metres / to_pixel.a
    middle = (np.abs([row, column] - np.array(true_labels.shape)[:, None, None] / 2) * side < CORE).all(axis=0)
    return Truth(labels, metres * (places[..., 2] - true_heights[row, column]), middle & inside)


def grid_of(folder: Path, extent: Extent) -> MapGrid:
    """The pixels of a finished map."""
    with rasterio.open(folder / "dsm.tif") as file:
        left, top, side, floor = file.transform.c, file.transform.f, file.transform.a, extent.surface[:, 2].min()
        return MapGrid(extent.frame, left, top, side, file.height, file.width, extent.ceiling, float(floor))


def of_nearest_photo(pipeline: NerfSegPipeline, folder: Path, grid: MapGrid, segmented: Path) -> np.ndarray:
    """Each place as the nearest photo that sees it has it; IGNORE_INDEX where none does, and at pixels left out."""
    dataset, evaluated = pipeline.datamanager.train_dataset, pipeline.datamanager.eval_dataset
    names = name_photos(list(dict.fromkeys([*dataset.image_filenames, *evaluated.image_filenames])))
    surface = finished_surface(grid, read(folder / "dsm.tif"))
    rows, columns = np.mgrid[: grid.rows : RIVAL_STEP, : grid.columns : RIVAL_STEP].reshape(2, -1)
    points = np.column_stack([grid.positions(rows + 0.5, columns + 0.5), surface.heights[rows, columns].numpy()])
    in_scene, projector = torch.from_numpy(grid.frame.to_scene(points)), Projector(dataset.cameras)
    cameras = grid.frame.from_scene(projector.origins.numpy())
    nearest, labels = np.full(len(points), np.inf), np.full(len(points), IGNORE_INDEX, np.uint8)
    for view, photo in enumerate(dataset.image_filenames):
        projected = projector.project(view, in_scene)
        better = np.flatnonzero(projected.inside.numpy() & (projected.distance.numpy() < nearest))
        better = better[surface.sees(cameras[view], points[better]).numpy()]
        found = np.asarray(Image.open(segmented / "labels" / f"{names[photo]}.png"))
        column, row = projected.pixels.numpy()[better].astype(int).T
        labels[better] = found[row.clip(0, found.shape[0] - 1), column.clip(0, found.shape[1] - 1)]
        nearest[better] = projected.distance.numpy()[better]
    whole = np.full((grid.rows, grid.columns), IGNORE_INDEX, np.uint8)
    whole[rows, columns] = labels
    return whole


def finished_surface(grid: MapGrid, heights: np.ndarray) -> Surface:
    """The surface of a finished map."""
    return Surface(grid, torch.from_numpy(np.where(heights > -9999, heights, grid.floor).astype(np.float32)))


def of_eye(pipeline: NerfSegPipeline, town: Path, folder: Path, grid: MapGrid, distance: float) -> np.ndarray:
    """What the trained eye alone says of the orthophoto."""
    source = EyeSource(town, SegmentConfig())
    source.ready()
    cameras = pipeline.datamanager.train_dataset.cameras
    longest = int(max(cameras.width.max(), cameras.height.max()))
    colors = read(folder / "ortho.tif")
    seen = SimpleNamespace(colors=colors, eye=np.zeros((*colors.shape[:2], len(source.table)), np.uint8))
    looker = SimpleNamespace(eye=source._eye, config=source.config)
    look_at_map(looker, grid, seen, source._eye.scale(longest) * grid.resolution / distance)
    return seen.eye.argmax(axis=-1).astype(np.uint8)


def main(town: Path, folder: Path, segmented: Path | None, with_eye: bool) -> None:
    """Prints the scores."""
    table, truth, labels = ClassTable.load(town / "classes.json"), truth_at(town, folder), read(folder / "labels.tif")
    score(labels, truth, table, truth.error)
    if segmented is None and not with_eye:
        return
    pipeline = load_run(Path(json.loads((folder / "map.json").read_text())["run"]))
    extent = find_extent(pipeline, None)
    grid = grid_of(folder, extent)
    if segmented is not None:
        print("\nThe nearest photo's label map:")
        score(of_nearest_photo(pipeline, folder, grid, segmented), truth, table)
    if with_eye:
        print("\nThe eye alone on the orthophoto:")
        found = of_eye(pipeline, town, folder, grid, extent.distance)
        score(np.where(labels == IGNORE_INDEX, IGNORE_INDEX, found), truth, table)


def score(labels: np.ndarray, truth: Truth, table: ClassTable, error: np.ndarray | None = None) -> None:
    """Prints label scores, the areas of classes of at least one per cent, and the errors of the surface."""
    for name, within in (("all", np.ones_like(truth.core)), ("core", truth.core)):
        known = (labels != IGNORE_INDEX) & (truth.labels != IGNORE_INDEX) & within
        print(f"{name}: {known.sum():,} pixels, {100 * known[within].mean():.0f} % of these")
        own, true = np.where(known, labels, IGNORE_INDEX), np.where(known, truth.labels, IGNORE_INDEX)
        matrix = confusion_matrix(torch.from_numpy(own), torch.from_numpy(true), len(table))
        scores = segmentation_scores(matrix, table.names)
        each = ", ".join(f"{key[4:]} {value:.2f}" for key, value in scores.items() if key.startswith("iou/"))
        print(f"  labels: mIoU {scores['miou']:.3f}, accuracy {scores['total_accuracy']:.3f} ({each})")
        counts = [((true == i).sum(), (own == i).sum()) for i in range(len(table))]
        large = [(table.names[i], 100 * (b / a - 1)) for i, (a, b) in enumerate(counts) if a >= 0.01 * known.sum()]
        print("  areas:", ", ".join(f"{key} {value:+.1f} %" for key, value in large))
        if error is not None:
            median, rms = np.median(np.abs(error[known])), np.sqrt((error[known] ** 2).mean())
            share = 100 * median / FLIGHT
            print(
                f"  surface: median {median:.2f} m ({share:.2f} % of the flying height), root mean square {rms:.2f} m"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("town", type=Path)
    parser.add_argument("map", type=Path)
    parser.add_argument("--segmented", type=Path)
    parser.add_argument("--eye", action="store_true")
    args = parser.parse_args()
    main(args.town, args.map, args.segmented, args.eye)
