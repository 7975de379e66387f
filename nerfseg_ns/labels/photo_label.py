"""What every form of label files gives: the labels of one photo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import UInt8

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import ClassTable

LabelEncoding = Literal["auto", "index", "rgb", "bgr"]
"""How PNGs encode classes, as a user may say it; auto: decided over all label files."""

Form = TypeVar("Form", bound="PhotoLabel")
"""A form of label files: a subclass of `PhotoLabel`."""

Size = tuple[int, int]
"""Width and height, pixels."""


@dataclass(frozen=True)
class LabelOptions:
    """What a user may say about label files that do not say it themselves."""

    palette: str = "auto"
    """Name of a built-in palette, for a scene without a classes.json."""
    encoding: LabelEncoding = "auto"
    """How PNGs encode classes."""


@dataclass(frozen=True)
class PhotoLabel(ABC):
    """The labels of one photo as they lie on disk. A subclass is a form of label files."""

    path: Path
    """The file; several photos may share one."""

    @property
    def place(self) -> str:
        """Where these labels are, for messages: the file, and the place in it if it holds those of several photos."""
        return str(self.path)

    @classmethod
    @abstractmethod
    def own_classes(cls: type[Form], labels: Sequence[Form], options: LabelOptions) -> ClassTable:
        """The classes that files of this form name themselves, for a scene without a classes.json.

        Args:
            labels: all of the scene that have this form, at least one.
            options: what the user says.

        Raises:
            UserError: the files do not tell, or cannot be read.
        """

    @classmethod
    def prepare(
        cls: type[Form], labels: Sequence[Form], sizes: Sequence[Size], table: ClassTable, options: LabelOptions
    ) -> list[Form]:
        """Checks all labels of this form and returns them ready to be read.

        Args:
            labels: all of the scene that have this form, at least one.
            sizes: for each the size that it must have, that of its photo.
            table: the scene's classes.
            options: what the user says.

        Raises:
            UserError: everything that is wrong with them.
        """
        problems = ErrorCollector()
        problems.each(lambda pair: check_size(pair[0].place, pair[0].read(table).shape, pair[1]), zip(labels, sizes))
        problems.raise_found()
        return list(labels)

    @abstractmethod
    def read(self, table: ClassTable) -> UInt8[np.ndarray, "height width"]:
        """Class indices; IGNORE_INDEX wherever the file names no class.

        Raises:
            UserError: the file cannot be read, or names a class that is not in the table.
        """


def check_size(place: Path | str, shape: tuple[int, ...], size: Size) -> None:
    """Raises UserError if the labels [height, width] at a place do not have the size of their photo."""
    height, width = shape
    if (width, height) != tuple(size):
        raise UserError(
            f"The label {place} is {width} x {height} pixels, its photo {size[0]} x {size[1]}: a label must have the "
            "size of its photo. Resize it without interpolation (nearest neighbour), or draw it on the photo."
        )
