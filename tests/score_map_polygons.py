"""Scores a label map against polygons that were drawn by hand on its orthophoto.

python tests/score_map_polygons.py MAP POLYGONS [--classes CLASSES] [--eye SCENE]

MAP is what nerfseg map wrote, or any GeoTIFF of class indices; POLYGONS a file such as
real_labels/sheffield_cross_map.geojson, whose features say their class and whether they are difficult: traced to a real
border. CLASSES is the classes.json that names the indices; a map of nerfseg map names them itself. Prints mIoU and
accuracy of all and of the difficult polygons, and the error of the area of each class within them. With --eye also
those of a rival: the trained eye alone, which has learnt from the labelled photos of SCENE, on the orthophoto.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pyproj
import rasterio
import torch
from rasterio.features import rasterize

from nerfseg_ns.evaluation.confusion import confusion_matrix, segmentation_scores
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.drawn.classes import find_classes
from nerfseg_ns.maps.drawn.features import read_features
from nerfseg_ns.maps.drawn.shapes import make_shapes

DIFFICULT = "difficult"
LEAST_SHARE = 0.01
"""Of all scored pixels, that a class must have for its area to be compared."""


@dataclass
class LabelMap:
    """A raster of class indices."""

    labels: np.ndarray
    """IGNORE_INDEX where there is no class."""
    transform: rasterio.Affine
    frame: SimpleNamespace
    """Its coordinate system, as nerfseg_ns.maps.drawn.shapes asks for it."""
    table: ClassTable


@dataclass
class Truth:
    """The polygons, at the pixels of a map."""

    labels: np.ndarray
    """IGNORE_INDEX where nothing is drawn."""
    difficult: np.ndarray
    """Which pixels are in difficult polygons."""


def read_map(path: Path, classes: Path | None = None) -> LabelMap:
    """The label map of a folder of nerfseg map, or of a GeoTIFF."""
    path = path / "labels.tif" if path.is_dir() else path
    table = ClassTable.load(classes) if classes else named_in(path)
    with rasterio.open(path) as file:
        labels, crs = file.read(1), file.crs
        known = (labels >= 0) & (labels < len(table)) & (file.read_masks(1) > 0)
        on_earth = crs is not None and (crs.is_projected or crs.is_geographic)
        frame = SimpleNamespace(is_georeferenced=on_earth, crs=crs and pyproj.CRS.from_user_input(crs.to_wkt()))
        return LabelMap(np.where(known, labels, IGNORE_INDEX).astype(np.uint8), file.transform, frame, table)


def named_in(raster: Path) -> ClassTable:
    """The classes that a raster names in the file beside it."""
    beside = raster.with_name(f"{raster.name}.aux.xml")
    if not beside.exists():
        raise SystemExit(f"{raster} does not name its classes: name a classes.json with --classes.")
    names = [category.text or "" for category in ElementTree.parse(beside).iter("Category")]
    return ClassTable(names, [(index, 0, 0) for index in range(len(names))])


def truth_at(polygons: Path, found: LabelMap) -> Truth:
    """The polygons on the grid of a map; where they overlap, the later one counts."""
    features = read_features(polygons)
    shapes = make_shapes(features, find_classes(features, found.table).classes, found.frame, stroke=0.0)
    flags = features.fields.get(DIFFICULT, np.zeros(len(features.geometries)))
    difficult = np.array([bool(flag) for flag in flags])[shapes.numbers - 1]
    labels, numbers = (
        rasterize(zip(shapes.areas, values), found.labels.shape, fill, transform=found.transform, dtype="int32")
        for values, fill in ((shapes.classes.astype("int32"), IGNORE_INDEX), (difficult.astype("int32"), 0))
    )
    return Truth(labels.astype(np.uint8), numbers > 0)


def score(labels: np.ndarray, truth: Truth, table: ClassTable, pixel_area: float) -> None:
    """Prints the scores of all and of the difficult polygons, and the errors of the areas."""
    drawn = truth.labels != IGNORE_INDEX
    known = drawn & (labels != IGNORE_INDEX)
    print(f"{drawn.sum():,} pixels are drawn, of {100 * known.sum() / max(1, drawn.sum()):.1f} % the map says a class")
    for name, chosen in (("all", known), (DIFFICULT, known & truth.difficult)):
        if not chosen.any():
            print(f"{name}: nothing")
            continue
        own, true = (torch.from_numpy(values[chosen]) for values in (labels, truth.labels))
        matrix = confusion_matrix(own, true, len(table))
        scores = segmentation_scores(matrix, table.names)
        each = ", ".join(f"{key[4:]} {value:.2f}" for key, value in scores.items() if key.startswith("iou/"))
        print(f"{name}: mIoU {scores['miou']:.3f}, accuracy {scores['total_accuracy']:.3f} ({each})")
        if name == "all":
            areas = told_areas(matrix.numpy(), table, pixel_area)
    if known.any():
        print(f"areas: {areas}")


def told_areas(matrix: np.ndarray, table: ClassTable, pixel_area: float) -> str:
    """By how much the map's area of each class is off, of how much."""
    true, found = matrix.sum(axis=1), matrix.sum(axis=0)
    large = np.flatnonzero(true >= LEAST_SHARE * true.sum())
    told = (f"{table.names[i]} {100 * (found[i] / true[i] - 1):+.1f} % of {true[i] * pixel_area:,.0f}" for i in large)
    return ", ".join(told)


def of_eye(scene: Path, folder: Path) -> np.ndarray:
    """What the trained eye alone says of a map's orthophoto."""
    import score_map  # these bring nerfstudio

    from nerfseg_ns.maps.extent import find_extent
    from nerfseg_ns.runs.load import load_run

    pipeline = load_run(Path(json.loads((folder / "map.json").read_text())["run"]))
    extent = find_extent(pipeline, None)
    return score_map.of_eye(pipeline, scene, folder, score_map.grid_of(folder, extent), extent.distance)


def main(path: Path, polygons: Path, classes: Path | None = None, scene: Path | None = None) -> None:
    """Prints the scores."""
    found = read_map(path, classes)
    truth, pixel_area = truth_at(polygons, found), abs(found.transform.determinant)
    score(found.labels, truth, found.table, pixel_area)
    if scene is not None:
        print("\nThe eye alone on the orthophoto:")
        seen = np.where(found.labels == IGNORE_INDEX, IGNORE_INDEX, of_eye(scene, path))
        score(seen.astype(np.uint8), truth, found.table, pixel_area)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map", type=Path)
    parser.add_argument("polygons", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--eye", type=Path)
    args = parser.parse_args()
    main(args.map, args.polygons, args.classes, args.eye)
