"""Scores a map of the built-in town (Carla-MVS layout) against the town itself, cast straight down.

python tests/score_map.py TOWN MAP

TOWN is a folder that nerfseg town or nerfseg demo made, MAP what nerfseg map wrote of a run on it. Prints mIoU and
accuracy of the label map, the error of each class's area, and the errors of the surface.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rasterio
import torch

from nerfseg_ns.evaluation.confusion import confusion_matrix, segmentation_scores
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.layout import build_town
from nerfseg_ns.town.render import Renderer, View

CORE = 0.45
"""Scene units from the middle within which the town is scored on its own: streets, houses, what is around them."""
FLIGHT = 0.45
"""Scene units that the town's flights are high, in the median."""


def town_at(config: TownConfig, xs: np.ndarray, ys: np.ndarray, side: float) -> View:
    """A town's truth from above, at places in metres."""
    return Renderer(build_town(config.seed), config.seed, config.easy).look_down(xs, ys, side)


def main(town: Path, folder: Path) -> None:
    """Prints the scores."""
    record, facts = json.loads((town / "town.json").read_text()), json.loads((folder / "map.json").read_text())
    options = {name: value for name, value in record["config"].items() if name in TownConfig.__dataclass_fields__}
    metres, table = record["metres_per_unit"], ClassTable.load(town / "classes.json")
    with rasterio.open(folder / "labels.tif") as file:
        labels, transform = file.read(1), file.transform
    heights = rasterio.open(folder / "dsm.tif").read(1)
    columns, rows = np.meshgrid(*(np.arange(count) + 0.5 for count in labels.shape[::-1]))
    places = np.stack([*(transform * (columns, rows)), heights], axis=-1)
    in_run = np.array(facts["anchor_in_run"]) + (places - facts["anchor"]) @ np.array(facts["axes_in_run"])
    xs, ys, found = metres * np.moveaxis(in_run, -1, 0)  # the town's scene is that of the run
    truth = town_at(TownConfig(**options), xs, ys, facts["resolution"] * metres)
    core = (np.abs(ys) < CORE * metres) & (np.abs(xs) < CORE * metres)
    for name, within in (("all", np.ones_like(core)), ("core", core)):
        known = (labels != IGNORE_INDEX) & within & np.isfinite(truth.depth)
        side, share = facts["resolution"] * metres, 100 * known[within].mean()
        print(f"{name}: {known.sum():,} pixels of {side:.2f} m, {share:.0f} % seen")
        score(np.where(known, labels, IGNORE_INDEX), np.where(known, truth.label, IGNORE_INDEX), table)
        error = np.abs(found - truth.depth)[known]
        median, rms = np.median(error), np.sqrt((error**2).mean())
        of_flight = 100 * median / (FLIGHT * metres)
        print(
            f"  surface: median {median:.2f} m ({of_flight:.2f} % of the flying height), root mean square {rms:.2f} m"
        )


def score(labels: np.ndarray, truth: np.ndarray, table: ClassTable) -> None:
    """Prints label scores and the areas of classes of at least one per cent."""
    matrix = confusion_matrix(torch.from_numpy(labels), torch.from_numpy(truth), len(table))
    scores = segmentation_scores(matrix, table.names)
    each = ", ".join(f"{name[4:]} {value:.2f}" for name, value in scores.items() if name.startswith("iou/"))
    print(f"  labels: mIoU {scores['miou']:.3f}, accuracy {scores['total_accuracy']:.3f} ({each})")
    known = truth != IGNORE_INDEX
    for index, name in enumerate(table.names):
        true, own = (truth[known] == index).sum(), (labels[known] == index).sum()
        if true >= 0.01 * known.sum():
            print(f"  area of {name}: {100 * (own / true - 1):+.1f} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
