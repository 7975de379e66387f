"""Scores label maps of nerfseg segment against the hand-drawn polygons beside this file.

python tests/score_maps.py SCENE MAPS [CLASS ...]

SCENE is a folder with a classes.json whose name is that of a folder in real_labels; MAPS is what nerfseg segment wrote,
or the folder that nerfseg compare wrote maps of one color into, such as COMPARED/SCENE/eye-seed-0/observed. The
polygons of the classes named after them are left out: those that no labelled photo shows, where there is only one.
"difficult" are the polygons that were traced to a real border: gaps, verges, single cars, whole roofs, thin things.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Tuple

import numpy as np
import torch
from PIL import Image

from nerfseg_ns.evaluation.confusion import confusion_matrix, segmentation_scores
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.labelme import LabelMeLabel

POLYGONS = Path(__file__).parent / "real_labels"
BINS = 10


def truth_of(label: LabelMeLabel, table: ClassTable, only_difficult: bool = False) -> np.ndarray:
    """The polygons of a photo as class indices, all or those that are difficult."""
    shapes = [shape for shape in label.content["shapes"] if shape["flags"].get("difficult") or not only_difficult]
    return LabelMeLabel(label.path, {**label.content, "shapes": shapes}).read(table)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean distance between confidence and accuracy over ten bins of confidence, weighted by their pixels."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    chosen = [bins == index for index in range(BINS)]
    return sum(abs(confidence[one].mean() - right[one].mean()) * one.mean() for one in chosen if one.any())


def read_map(maps: Path, name: str) -> Tuple[np.ndarray, np.ndarray]:
    """Class indices of a photo, and confidence 0 to 1."""
    files = [maps / "labels" / f"{name}.png", maps / "confidence" / f"{name}.png"]
    if not files[0].exists():
        files = [maps / f"{name}.png", maps / f"{name}-confidence.png"]
    found, confidence = (np.array(Image.open(file)) for file in files)
    return found, confidence / 255


def main(scene: Path, maps: Path, *without: str) -> None:
    """Prints mIoU and accuracy of all and of the difficult polygons, and the calibration error."""
    from nerfseg_ns.labels.json_labels import labels_in_json

    table = ClassTable.load(scene / "classes.json")
    unknown = [table.names.index(name) for name in without]
    counts = {kind: torch.zeros(len(table), len(table), dtype=torch.long) for kind in ("all", "difficult")}
    sure, right = [], []
    for path in sorted((POLYGONS / scene.resolve().name).glob("*.json")):
        ((_, label),) = labels_in_json(path)
        found, confidence = read_map(maps, path.stem)
        for kind, matrix in counts.items():
            truth = truth_of(label, table, kind == "difficult")
            truth = np.where(np.isin(truth, unknown), IGNORE_INDEX, truth)
            matrix += confusion_matrix(torch.from_numpy(found), torch.from_numpy(truth), len(table))
        truth = truth_of(label, table)
        known = (truth != IGNORE_INDEX) & ~np.isin(truth, unknown)
        sure.append(confidence[known])
        right.append((found == truth)[known])
    for kind, matrix in counts.items():
        scores = segmentation_scores(matrix, table.names)
        each = ", ".join(f"{name[4:]} {value:.2f}" for name, value in scores.items() if name.startswith("iou/"))
        print(f"{kind}: mIoU {scores['miou']:.3f}, accuracy {scores['total_accuracy']:.3f} ({each})")
    print(f"calibration error {calibration_error(np.concatenate(sure), np.concatenate(right)):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
