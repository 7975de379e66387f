"""The folder that training code reads: images and labels of one name, lists of names, classes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Literal, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.core.files import write_text
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable


@dataclass
class Item:
    """An image with labels."""

    name: str
    """Of its files."""
    image: UInt8[ndarray, "height width 3"]
    labels: UInt8[ndarray, "height width"]
    """Class indices, IGNORE_INDEX where not labelled."""
    confidence: Float[ndarray, "height width"]
    """How sure the labels are, 0 to 1."""
    labels_from: Literal["given", "mapped"]
    """Whether somebody drew them or the run says so."""
    origin: Dict[str, Any] = field(default_factory=dict)
    """Where the image is from, for dataset.json."""

    @classmethod
    def given(
        cls, name: str, image: UInt8[ndarray, "height width 3"], labels: UInt8[ndarray, "height width"], **origin: Any
    ) -> Item:
        """A photo with the labels that it came with, which are certain."""
        return cls(name, image, labels, (labels != IGNORE_INDEX).astype(np.float32), "given", origin)

    @classmethod
    def mapped(
        cls,
        name: str,
        image: UInt8[ndarray, "height width 3"],
        labels: UInt8[ndarray, "height width"],
        confidence: Float[ndarray, "height width"],
        min_confidence: float,
        **origin: Any,
    ) -> Item:
        """An image with the labels that the run maps; those that it is less sure of are left out."""
        sure = np.where(confidence < min_confidence, IGNORE_INDEX, labels).astype(np.uint8)
        return cls(name, image, sure, confidence, "mapped", origin)

    def facts(self) -> Dict[str, Any]:
        """Its entry in dataset.json."""
        return {
            "name": self.name,
            **self.origin,
            "labels": self.labels_from,
            "mean_confidence": round(float(self.confidence.mean()), 4),
            "labelled_share": round(float((self.labels != IGNORE_INDEX).mean()), 4),
        }


class TrainingSet:
    """Writes images/NAME.png, labels/NAME.png (grey values are class indices, 255 for not labelled) and
    confidence/NAME.png (255 for certain); at the end the lists and the classes.

    Args:
        folder: to write into.
        table: the classes.
    """

    def __init__(self, folder: Path, table: ClassTable) -> None:
        self.folder, self.table = folder, replace(table, file_ignore_index=IGNORE_INDEX)
        self.items: List[Dict[str, Any]] = []
        for name in ("images", "labels", "confidence"):
            (folder / name).mkdir()

    def add(self, item: Item) -> None:
        """Writes an item's images."""
        certainty = (255 * item.confidence).round().astype(np.uint8)
        for place, pixels in (("images", item.image), ("labels", item.labels), ("confidence", certainty)):
            Image.fromarray(pixels).save(self.folder / place / f"{item.name}.png")
        self.items.append(item.facts())

    def finish(self, splits: Dict[str, Sequence[str]], facts: Dict[str, Any]) -> None:
        """Writes the lists.

        Args:
            splits: names of the items of each split.
            facts: what else dataset.json is to hold.
        """
        for split, names in splits.items():
            write_text(self.folder / f"{split}.txt", "".join(f"{name}\n" for name in names))
        self.table.save(self.folder / "classes.json")
        write_text(self.folder / "classes.txt", "".join(f"{name}\n" for name in self.table.names))
        content = {**facts, "classes": list(self.table.names), "ignore_index": IGNORE_INDEX, "items": self.items}
        write_text(self.folder / "dataset.json", json.dumps(content, indent=1) + "\n")
