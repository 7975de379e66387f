"""What label maps are made from: photos, and who maps them."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import List

from jaxtyping import UInt8
from numpy import ndarray

from nerfseg_ns.evaluation.prediction import Prediction
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.segment.photos import Picture

VERSION = 2
"""Of what is written: raised when the same input gives other maps."""


class PhotoSource(ABC):
    """Photos, and who maps them."""

    learnt: str
    """Who has learnt what, for the user."""
    pictures: List[Picture]
    table: ClassTable
    digest: str
    """Of all that the maps depend on."""

    @abstractmethod
    def ready(self) -> None:
        """Called before the first photo is mapped."""

    @abstractmethod
    def map(self, picture: Picture, photo: UInt8[ndarray, "height width 3"]) -> Prediction:
        """The label map of a photo, in its size."""


def digest_of(pictures: List[Picture], table: ClassTable, options: dict) -> str:
    """Changes with the labels, the classes and the options; a photo by its size on disk and its time."""
    total = hashlib.sha256(json.dumps([VERSION, table.names, table.colors, options], default=str).encode())
    for picture in pictures:
        state = picture.path.stat()
        total.update(f"{picture.name} {state.st_size} {state.st_mtime_ns}".encode())
        if picture.label is not None:
            total.update(picture.label.read(table).tobytes())
    return total.hexdigest()
