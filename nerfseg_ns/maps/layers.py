"""The layers of a map while it is made: arrays on disk, so that a map need not fit into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from nerfseg_ns.maps.grid import MapGrid


class Layers:
    """Arrays of the whole map.

    Args:
        folder: for their files.
        grid: of the map.
        classes: number of classes.
        with_eye: there is an eye whose opinion is kept.
    """

    def __init__(self, folder: Path, grid: MapGrid, classes: int, with_eye: bool) -> None:
        self._folder, self._shape = folder, (grid.rows, grid.columns)
        self.heights = self._array("heights", np.float32)
        self.colors = self._array("colors", np.uint8, 3)
        self.seen = self._array("seen", np.uint8)
        self.logits = self._array("logits", np.float16, classes)
        self.eye = self._array("eye", np.uint8, classes) if with_eye else None
        self.labels = self._array("labels", np.uint8)
        self.confidence = self._array("confidence", np.uint8)

    def _array(self, name: str, dtype: type, *channels: int) -> ndarray:
        shape = (*self._shape, *channels)
        return np.memmap(self._folder / f"{name}.bin", dtype, "w+", shape=shape)
