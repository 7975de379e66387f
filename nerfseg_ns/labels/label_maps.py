"""The label maps of a split, in nerfstudio's `Semantics`: what travels as `metadata["semantics"]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from nerfstudio.data.dataparsers.base_dataparser import Semantics
from PIL import Image
from torch import Tensor

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.encoding import LabelColors
from nerfseg_ns.labels.palettes import choose_table
from nerfseg_ns.labels.photo_label import LabelEncoding, LabelOptions, PhotoLabel, Size


@dataclass
class LabelMaps(Semantics):
    """Labels of one split and how to read them; make it with `LabelMaps.of`.

    Inherited: `classes`, the names; `colors`, Float [classes, 3], exactly k / 255.
    """

    filenames: list[Path | None]  # type: ignore[assignment]  # nerfstudio's Semantics has no views without labels
    """Per photo of the split its label file, None for a view without."""
    table: ClassTable = field(kw_only=True)
    """The scene's classes, the same in every split."""
    labels: list[PhotoLabel | None] = field(kw_only=True)
    """Per photo of the split its labels, None for a view without."""

    @classmethod
    def of(cls, labels: Sequence[PhotoLabel | None], table: ClassTable) -> LabelMaps:
        """The label maps of a split: per photo its labels, as `resolve_labels` returns them, or None."""
        colors = torch.from_numpy(table.color_array).float() / 255
        filenames = [None if label is None else label.path for label in labels]
        return cls(filenames, list(table.names), colors, table=table, labels=list(labels))

    @property
    def labelled(self) -> tuple[int, ...]:
        """Positions, in the split, of the photos that have labels."""
        return tuple(index for index, label in enumerate(self.labels) if label is not None)

    def keep_labelled(self, count: int) -> LabelMaps:
        """The same split with the labels of `count` of its labelled photos, evenly chosen; 0 keeps all.

        Raises:
            UserError: fewer photos are labelled.
        """
        if count == 0:
            return self
        labelled = self.labelled
        if not 0 < count <= len(labelled):
            raise UserError(
                f"Labels of {count} photos were asked for, but only {len(labelled)} are labelled; give a number up to "
                "that, or 0 for all."
            )
        kept = {labelled[position] for position in evenly_spaced_indices(len(labelled), count)}
        return self.of([label if index in kept else None for index, label in enumerate(self.labels)], self.table)

    def read(self, index: int, height: int, width: int) -> UInt8[Tensor, "height width 1"]:
        """Reads one photo's label map.

        Args:
            index: the photo's position in the split.
            height: height of the image as loaded, in pixels; a label map of another size is resized to it (see
                `resize_labels`), since photos may be loaded scaled down.
            width: width of the image as loaded, in pixels.

        Returns:
            Class indices; IGNORE_INDEX where not labelled, everywhere for a view without labels.
        """
        label = self.labels[index]
        if label is None:
            return torch.full((height, width, 1), IGNORE_INDEX, dtype=torch.uint8)
        labels = label.read(self.table)
        if labels.shape != (height, width):
            labels = resize_labels(labels, (width, height))
        return torch.from_numpy(labels)[..., None]


def resize_labels(labels: UInt8[np.ndarray, "rows columns"], size: Size) -> UInt8[np.ndarray, "height width"]:
    """Resizes a label map by nearest neighbour, but keeps points and thin strokes that fall between the samples.

    Scaled down, a pixel that would be unlabelled takes the lowest class in the block of pixels that it stands for, if
    no pixel around it has that class. The borders of larger areas stay those of nearest neighbour.

    Args:
        labels: class indices, IGNORE_INDEX where not labelled.
        size: of the result.
    """
    width, height = size
    nearest = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    rows, columns = labels.shape
    if height > rows or width > columns:
        return nearest
    lowest = np.minimum.reduceat(labels, np.arange(height) * rows // height, axis=0)  # IGNORE_INDEX is the highest
    lowest = np.minimum.reduceat(lowest, np.arange(width) * columns // width, axis=1)
    framed = np.pad(nearest, 1, constant_values=IGNORE_INDEX)
    lost = (nearest == IGNORE_INDEX) & (lowest != IGNORE_INDEX)
    for down, right in np.ndindex(3, 3):
        lost &= framed[down : down + height, right : right + width] != lowest
    return np.where(lost, lowest, nearest)


def resolve_labels(
    labels: Sequence[PhotoLabel | None],
    sizes: Sequence[Size],
    classes_file: Path,
    palette: str = "auto",
    encoding: LabelEncoding = "auto",
) -> tuple[ClassTable, list[PhotoLabel | None]]:
    """Finds a scene's class table and checks all its labels.

    Args:
        labels: per photo of the scene, all splits, its labels or None; at least one has some.
        sizes: per photo the size that its labels must have.
        classes_file: the scene's `classes.json`; where it does not exist, the label files must tell the classes.
        palette: name of a built-in palette, which is the class table if there is no `classes.json`, or "auto".
        encoding: of PNGs: "index", "rgb" or "bgr", or "auto" to decide over all files' colors and the whole palette.

    Returns:
        The table, and the labels ready to be read.

    Raises:
        UserError: everything that is wrong with the class table and the labels.
    """
    options = LabelOptions(palette, encoding)
    forms = _by_form(labels)
    if not forms:
        raise UserError("There is no label file to read classes from.")
    table = _find_table(forms, classes_file, options)
    return table, prepare_labels(labels, sizes, table, options)


def prepare_labels(
    labels: Sequence[PhotoLabel | None],
    sizes: Sequence[Size],
    table: ClassTable,
    options: LabelOptions | None = None,
) -> list[PhotoLabel | None]:
    """Checks labels against the scene's classes.

    Args:
        labels: per photo its labels or None.
        sizes: per photo the size that its labels must have.
        table: the classes.
        options: how to read the labels; None: as the labels themselves suggest.

    Returns:
        The labels ready to be read.

    Raises:
        UserError: everything that is wrong with them.
    """
    options = options or LabelOptions()
    problems, prepared = ErrorCollector(), list(labels)
    for form, own in _by_form(labels).items():
        with problems.collect():
            ready = form.prepare(list(own.values()), [sizes[index] for index in own], table, options)
            for index, label in zip(own, ready, strict=True):
                prepared[index] = label
    problems.raise_found()
    return prepared


def count_pixels(labels: Sequence[PhotoLabel | None], table: ClassTable) -> Int64[np.ndarray, "labelled_photos 256"]:
    """Pixels by class index (IGNORE_INDEX: not labelled), a row for each labelled photo."""
    maps = [label.read(table) for label in labels if label is not None]
    return np.array([np.bincount(pixels.ravel(), minlength=256) for pixels in maps]).reshape(-1, 256)


def require_labelled_pixels(labels: Sequence[PhotoLabel | None], table: ClassTable) -> None:
    """Raises UserError if the labels of the training photos hold no labelled pixel."""
    if count_pixels(labels, table)[:, : len(table)].sum() == 0:
        path = next(label.path for label in labels if label is not None)
        raise UserError(
            f'No pixel of the training photos is labelled: all labels, such as {path}, say "not labelled" (index '
            f"{table.file_ignore_index}, transparency, or nothing drawn) everywhere. Label some pixels."
        )


def _by_form(labels: Sequence[PhotoLabel | None]) -> dict[type[PhotoLabel], dict[int, PhotoLabel]]:
    """The labels of each form, by their positions."""
    forms: dict[type[PhotoLabel], dict[int, PhotoLabel]] = {}
    for index, label in enumerate(labels):
        if label is not None:
            forms.setdefault(type(label), {})[index] = label
    return forms


def _find_table(
    forms: dict[type[PhotoLabel], dict[int, PhotoLabel]], classes_file: Path, options: LabelOptions
) -> ClassTable:
    if classes_file.exists():
        return ClassTable.load(classes_file)
    if options.palette != "auto":
        return choose_table(LabelColors(np.empty(0, dtype=np.int64), single_channel=False), options.palette)
    if len(forms) > 1:
        first, second = (next(iter(own.values())).path for own in list(forms.values())[:2])
        raise UserError(
            f"{first} and {second} are labels of different forms, so the classes have to be named in {classes_file}, "
            'which does not exist: {"classes": [{"name": "Building", "color": [70, 70, 70]}, ...]}.'
        )
    ((form, own),) = forms.items()
    return form.own_classes(list(own.values()), options)
