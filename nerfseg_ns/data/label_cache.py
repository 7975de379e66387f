"""Label maps that were decoded once, for all that ask for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from jaxtyping import UInt8
from torch import Tensor

LabelMap = UInt8[Tensor, "height width 1"]


class LabelCache:
    """Keeps label maps while there is room for them. Photos are read on several threads, which may ask at once.

    Args:
        room: bytes.
    """

    def __init__(self, room: int) -> None:
        self._kept: dict[Hashable, LabelMap] = {}
        self._room = room
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], LabelMap]) -> LabelMap:
        """The label map of a key, decoded if it is not there."""
        if key in self._kept:
            return self._kept[key]
        labels = decode()
        with self._lock:
            if key not in self._kept and labels.nbytes <= self._room:
                self._room -= labels.nbytes
                self._kept[key] = labels
        return labels
