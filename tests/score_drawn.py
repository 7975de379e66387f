"""Scores labels that were carried from a map into photos: the built-in town's true map against its photos' true labels.

python tests/score_drawn.py TOWN RUN/config.yml OUT

TOWN is a folder that nerfseg town or nerfseg demo made, RUN a run on it; labels and polygons go to OUT. Prints the
share of labelled pixels that are right, all of them and those that are not near a border of classes, and how many are
labelled.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helpers.true_map import draw_true_map
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.drawn.config import DrawnConfig
from nerfseg_ns.maps.drawn.run import run_labels_from_map
from nerfseg_ns.runs.load import load_run

BORDER = 2
"""Pixels: labels nearer to a border of classes are not asked to be right."""


@dataclass
class DrawnScores:
    """Of labels in photos."""

    accuracy: float
    """Of all labelled pixels."""
    inner_accuracy: float
    """Of those that are not near a border."""
    share: float
    """Of all pixels, how many are labelled."""
    confusion: np.ndarray
    """Inner pixels, [true class, class]."""


def score(labels: Path, truth: Path, classes: int) -> DrawnScores:
    """Scores a folder of label files against one of true labels of the same names."""
    confusions, total = np.zeros((2, classes, classes), np.int64), 0
    for path in sorted(labels.glob("*.png")):
        found, true = (np.asarray(Image.open(folder / path.name)) for folder in (labels, truth))
        size = 2 * BORDER + 1
        inner = maximum_filter(true, size) == minimum_filter(true, size)
        for place, chosen in enumerate((found != IGNORE_INDEX, (found != IGNORE_INDEX) & inner)):
            np.add.at(confusions[place], (true[chosen], found[chosen]), 1)
        total += found.size
    shares = [float(np.trace(confusion) / max(1, confusion.sum())) for confusion in confusions]
    return DrawnScores(*shares, float(confusions[0].sum() / max(1, total)), confusions[1])


def main(town: Path, config_file: Path, out: Path) -> None:
    """Prints the scores."""
    out.mkdir(parents=True, exist_ok=True)
    count = draw_true_map(load_run(config_file), town, out / "truth.gpkg")
    start = time.time()
    run_labels_from_map(town, DrawnConfig(out / "truth.gpkg", config_file, output_dir=out / "labels", overwrite=True))
    table = ClassTable.load(town / "classes.json")
    found = score(out / "labels", town / "truth" / "train" / "label", len(table))
    print(f"{count:,} polygons; {time.time() - start:.0f} s")
    shares = f"accuracy {found.accuracy:.4f}, away from borders {found.inner_accuracy:.4f}"
    print(f"{shares}; {100 * found.share:.0f} % of all pixels labelled")
    for index, name in enumerate(table.names):
        row = found.confusion[index]
        if row.sum():
            taken = ", ".join(f"{table.names[i]} {row[i]:,}" for i in np.argsort(-row) if row[i] and i != index)
            print(f"  {name}: {row[index]:,} of {row.sum():,} right; {taken or 'nothing else'}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
