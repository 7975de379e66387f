"""How much of a map each class covers, and how sure that is."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfseg_ns.core.files import write_text
from nerfseg_ns.labels.classes import ClassTable

SURE, POSSIBLE = 0.9, 0.1
"""Probabilities: of places that are certainly of a class, and of such that may be."""


@dataclass
class AreaCounter:
    """Pixels of each class.

    Args:
        classes: number of classes.
    """

    classes: int
    labelled: Float[Tensor, "classes"] = field(init=False)
    """Pixels of the label map."""
    confidence: Float[Tensor, "classes"] = field(init=False)
    """Sum of their probabilities."""
    sure: Float[Tensor, "classes"] = field(init=False)
    """Pixels whose probability is at least SURE."""
    possible: Float[Tensor, "classes"] = field(init=False)
    """Pixels whose probability is at least POSSIBLE."""

    def __post_init__(self) -> None:
        for name in ("labelled", "confidence", "sure", "possible"):
            setattr(self, name, torch.zeros(self.classes, dtype=torch.float64))

    def add(self, probabilities: Float[Tensor, "rows columns classes"], known: Bool[Tensor, "rows columns"]) -> None:
        """Counts the pixels of a tile that a photo sees."""
        found = probabilities[known]
        best, label = found.max(dim=-1)
        self.labelled += torch.bincount(label, minlength=self.classes)
        self.confidence += torch.bincount(label, weights=best.double(), minlength=self.classes)
        self.sure += (found >= SURE).sum(dim=0)
        self.possible += (found >= POSSIBLE).sum(dim=0)

    def write(self, path: Path, table: ClassTable, pixel_area: float, unit: str) -> None:
        """Writes a table of the classes' areas.

        Args:
            path: of the CSV.
            table: the classes.
            pixel_area: of a pixel on the ground.
            unit: of areas, for the header.
        """
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["class", "index", f"area_{unit}", "share", f"least_{unit}", f"most_{unit}", "mean_confidence"])
        total = max(1.0, float(self.labelled.sum()))
        for index, name in enumerate(table.names):
            pixels = float(self.labelled[index])
            mean = f"{float(self.confidence[index]) / pixels:.3f}" if pixels else ""
            counts = (self.labelled, self.sure, self.possible)
            area, least, most = (f"{float(count[index]) * pixel_area:.6g}" for count in counts)
            writer.writerow([name, index, area, f"{pixels / total:.5f}", least, most, mean])
        write_text(path, text.getvalue())
