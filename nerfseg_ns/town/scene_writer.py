"""What every layout of a town on disk has to write, and how single files are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.geo.map_frame import MapFrame
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.render import View


@dataclass(frozen=True)
class Shot:
    """A photo of the town, and what is true of it."""

    photo: UInt8[ndarray, "height width 3"]
    """As the camera has it; that of the view, unless the town is real."""
    found: Float[ndarray, "4 4"]
    """Pose as it is to be written, camera-to-world in metres, OpenCV axes."""
    view: View
    """As rendered at the true pose."""
    pose: Float[ndarray, "4 4"]
    """The true one."""
    camera: Float[ndarray, "4 4"]
    """Pinhole matrix in pixels."""


class SceneWriter(ABC):
    """Writes the views of a town in one layout.

    Args:
        config: of the town.
        folder: to write into.
        labelled: indices of the training views that come with labels.
    """

    def __init__(self, config: TownConfig, folder: Path, labelled: Sequence[int]) -> None:
        self.config, self.folder, self.labelled = config, folder, tuple(labelled)

    @abstractmethod
    def write_view(self, split: str, index: int, shot: Shot) -> str:
        """Writes a view and its truth; of a real town's also the view without faults and the true pose.

        Args:
            split: "train", "validation" or "test".
            index: of the view in its split; views come in order.
            shot: the photo.

        Returns:
            The name of the photo's files, without suffix.
        """

    @abstractmethod
    def map_frame(self) -> tuple[MapFrame, float]:
        """Coordinates of a map of the town, in which the scene is the written one; and metres per unit of the scene."""

    @abstractmethod
    def finish(self) -> dict[str, Any]:
        """Writes what belongs to no single view, and returns what the record of the town is to say of the layout."""


def write_png(path: Path, image: UInt8[ndarray, "height width *channels"]) -> None:
    """Writes an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG", compress_level=6)


def write_matrix(path: Path, matrix: Float[ndarray, "rows columns"]) -> None:
    """Writes a matrix as one line of numbers, row by row, with all their digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(repr(float(value)) for value in matrix.ravel()) + "\n")


def write_depth(path: Path, depth: Float[ndarray, "height width"]) -> None:
    """Writes distances along the rays, 32 bits each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, depth.astype(np.float32))
