"""The layers of a map while it is made: arrays on disk, so that a map need not fit into memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from nerfseg_ns.errors import UserError
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.grid import MapGrid

FINISHED_BYTES = 12
"""Of a pixel, for the finished rasters, polygons and cloud beside the layers; more than they have been seen to take."""
SAMPLES = 1_000_000
STRIP = 512


def certainty(confidence: UInt8[ndarray, "*pixels"]) -> Float[ndarray, "*pixels"]:
    """Probabilities of what the layer of confidence holds: 1 to 255 for 0 to 1."""
    return (np.maximum(confidence, 1) - 1.0) / 254


class Layers:
    """Arrays of the whole map.

    Args:
        folder: for their files.
        grid: of the map.
        classes: number of classes.
        with_eye: there is an eye whose opinion is kept.

    Raises:
        UserError: the disk has no room for them.
    """

    def __init__(self, folder: Path, grid: MapGrid, classes: int, with_eye: bool) -> None:
        self._folder, self._shape = folder, (grid.rows, grid.columns)
        self._require_room(10 + classes * (3 if with_eye else 2))
        self.heights = self._array("heights", np.float32)
        self.colors = self._array("colors", np.uint8, 3)
        self.seen = self._array("seen", np.uint8)
        self.logits = self._array("logits", np.float16, classes)
        self.eye = self._array("eye", np.uint8, classes) if with_eye else None
        self.labels = self._array("labels", np.uint8)
        self.confidence = self._array("confidence", np.uint8)

    def _require_room(self, pixel_bytes: int) -> None:
        needed = self._shape[0] * self._shape[1] * (pixel_bytes + FINISHED_BYTES)
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise UserError(
                f"A map of {self._shape[1]:,} x {self._shape[0]:,} pixels takes {needed / 1e9:.1f} GB of disk while it "
                f"is made; {self._folder.parent} has {free / 1e9:.1f} GB. Make room, choose another --output-dir, or a "
                "coarser --resolution."
            )

    def _array(self, name: str, dtype: type, *channels: int) -> DiskArray:
        return DiskArray(self._folder / f"{name}.bin", dtype, (*self._shape, *channels))

    def strips(self) -> Iterator[slice]:
        """Rows of the map, some at a time."""
        return (slice(row, min(row + STRIP, self._shape[0])) for row in range(0, self._shape[0], STRIP))

    def sample_heights(self) -> Float[ndarray, "places"]:
        """Heights of places that photos see, evenly over the map."""
        step = max(1, round((self._shape[0] * self._shape[1] / SAMPLES) ** 0.5))
        return self.heights.every(step)[self.seen.every(step) > 0]
