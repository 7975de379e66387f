"""Arrays that lie in a file: whole maps, of which only the piece at hand is in memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

PIECE = 32
"""Rows that are read at once where only every so many are wanted."""


class DiskArray:
    """An array in a file, zero at first. Pieces are read and written with numpy's indices, as copies.

    `numpy.memmap` serves the same end, but what was touched of it counts as memory of the process until the system
    needs it elsewhere: a map of 20,000 x 20,000 pixels would seem to take 15 GB.

    Args:
        path: of the file, which is made.
        dtype: of the elements.
        shape: of the array.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, path: Path, dtype: type, shape: tuple[int, ...]) -> None:
        with path.open("w+b") as file:
            size = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
            _reserve(file.fileno(), size)
            self._take(mmap.mmap(file.fileno(), size), dtype, shape)

    @classmethod
    def existing(cls, path: Path, dtype: type, shape: tuple[int, ...]) -> DiskArray:
        """An array that was written before, to be read."""
        array = cls.__new__(cls)
        with path.open("rb") as file:
            array._take(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype, shape)
        return array

    def _take(self, mapped: mmap.mmap, dtype: type, shape: tuple[int, ...]) -> None:
        self._map = mapped
        self._array = np.frombuffer(mapped, dtype, count=int(np.prod(shape, dtype=np.int64))).reshape(shape)
        self.shape, self.dtype, self.ndim = self._array.shape, self._array.dtype, self._array.ndim

    def __getitem__(self, index: Any) -> ndarray:
        piece = np.array(self._array[index])
        self._let_go()
        return piece

    def every(self, step: int) -> ndarray:
        """Every so many rows and columns, beginning with the first; some rows at a time."""
        starts = range(0, self.shape[0], PIECE * step)
        return np.concatenate([self[start : start + PIECE * step : step, ::step] for start in starts])

    def __setitem__(self, index: Any, values: Any) -> None:
        self._array[index] = values
        self._let_go()

    def _let_go(self) -> None:
        """Takes the file's pages out of the process; the system keeps and writes them."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(descriptor: int, size: int) -> None:
    """Makes a file as large as it will be: a full disk is an error here, and a bus error when the map is written to."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
