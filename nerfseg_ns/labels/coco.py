"""Labels in COCO's JSON: annotations of many photos in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.json_values import is_whole, read_points, read_size
from nerfseg_ns.labels.names import class_index, is_not_labelled, named_table
from nerfseg_ns.labels.photo_label import LabelOptions, PhotoLabel, Size
from nerfseg_ns.labels.rasterize import Patch, polygon_patch


@dataclass(frozen=True)
class CocoLabel(PhotoLabel):
    """The annotations of one photo in a COCO file; later ones lie on top."""

    file_name: str
    """The photo's, as it stands in the file."""
    size: Size
    categories: dict[int, str] = field(repr=False, compare=False)
    """All names in the file, by id."""
    annotations: list[dict] = field(repr=False, compare=False)
    """The photo's, as they stand in the file."""

    @property
    def place(self) -> str:
        return f"{self.path} (photo {self.file_name})"

    @classmethod
    def own_classes(cls, labels: Sequence[CocoLabel], options: LabelOptions) -> ClassTable:
        """The names of all categories by their ids, file by file, in made-up colors."""
        names = [name for label in labels for _, name in sorted(label.categories.items())]
        return named_table([name for name in dict.fromkeys(names) if not is_not_labelled(name)], labels[0].path)

    def read(self, table: ClassTable) -> UInt8[np.ndarray, "height width"]:
        problems = ErrorCollector()
        parsed = problems.each(lambda annotation: self._parse(annotation, table), self.annotations)
        problems.raise_found()
        width, height = self.size
        labels = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
        for index, patches in parsed:
            for patch in patches:
                patch.paint(labels, index)
        return labels

    def _parse(self, annotation: dict, table: ClassTable) -> tuple[int, list[Patch]]:
        """Class index and pixels of an annotation.

        Raises:
            UserError: everything that is wrong with it.
        """
        category = annotation.get("category_id")
        where = f"{self.path}: annotation {annotation.get('id')} of {self.file_name}"
        problems = ErrorCollector()
        with problems.collect():
            if not is_whole(category) or category not in self.categories:
                raise UserError(f"{where} has the category_id {category!r}, which is not among the categories.")
            index = class_index(self.categories[category], where, table)
        with problems.collect():
            patches = _patches(annotation.get("segmentation"), where, self.size)
        problems.raise_found()
        return index, patches


def coco_labels(path: Path, content: dict) -> list[tuple[str, CocoLabel]]:
    """The labels in a COCO file, with the stems of their photos; photos without annotations are not labelled.

    Args:
        path: the file.
        content: its content, parsed, with `images`, `annotations` and `categories`.

    Raises:
        UserError: all entries that do not fit together.
    """
    for key in ("images", "annotations", "categories"):
        if not isinstance(content[key], list) or not all(isinstance(entry, dict) for entry in content[key]):
            raise UserError(f"{path}: {key} is not a list of entries, as COCO's format requires.")
    problems = ErrorCollector()
    with problems.collect():
        categories = _read_categories(path, content["categories"])
    with problems.collect():
        by_image = _read_images(path, content["images"])
    problems.raise_found()
    for annotation in content["annotations"]:
        image = annotation.get("image_id")
        if isinstance(image, (int, str)) and image in by_image:
            by_image[image][1].append(annotation)
        else:
            problems.add(
                UserError(
                    f"{path}: annotation {annotation.get('id')} has the image_id {image!r}, which is not among the "
                    "images."
                )
            )
    labels = problems.each(
        lambda entry: _label(path, *entry, categories), [entry for entry in by_image.values() if entry[1]]
    )
    problems.raise_found()
    return labels


def _label(path: Path, image: dict, annotations: list[dict], categories: dict[int, str]) -> tuple[str, CocoLabel]:
    name = image["file_name"]
    size = read_size(image, ("width", "height"), f"{path}: the image {name}")
    # A Windows path also splits at "/": tools write either.
    return PureWindowsPath(name).stem, CocoLabel(path, name, size, categories, annotations)


def _read_categories(path: Path, entries: list[dict]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for entry in entries:
        identity, name = entry.get("id"), entry.get("name")
        if not is_whole(identity) or not isinstance(name, str) or not name.strip():
            raise UserError(f"{path}: the category {entry} has no id (a whole number) or no name.")
        if categories.setdefault(identity, name) != name:
            raise UserError(f"{path}: the categories {categories[identity]!r} and {name!r} share the id {identity}.")
    return categories


def _read_images(path: Path, entries: list[dict]) -> dict[int | str, tuple[dict, list[dict]]]:
    """The images by id, each with room for its annotations."""
    images: dict[int | str, tuple[dict, list[dict]]] = {}
    for entry in entries:
        identity, name = entry.get("id"), entry.get("file_name")
        if not isinstance(identity, (int, str)) or not isinstance(name, str) or not name:
            raise UserError(f"{path}: an image has the id {identity!r} and the file_name {name!r}: both are needed.")
        if identity in images:
            raise UserError(f"{path}: the images {images[identity][0]['file_name']} and {name} have the same id.")
        images[identity] = (entry, [])
    return images


def _patches(segmentation: Any, where: str, size: Size) -> list[Patch]:
    """The pixels of a `segmentation`: a list of polygons, or run lengths."""
    if not segmentation:
        raise UserError(
            f"{where} has no segmentation, only a box or points: a box does not say which of its pixels belong to "
            "the class. Draw polygons or masks, or delete it."
        )
    if isinstance(segmentation, dict):
        return [Patch(0, 0, _decode_runs(segmentation, where, size))]
    if not isinstance(segmentation, list):
        raise UserError(f"{where} has a segmentation that is neither a list of polygons nor run lengths.")
    return [polygon_patch(_polygon(values, where), size) for values in segmentation]


def _polygon(values: Any, where: str) -> np.ndarray:
    """The corners from a list x, y, x, y, ..."""
    if not isinstance(values, list) or len(values) < 6 or len(values) % 2:
        raise UserError(f"{where} has a polygon that is not a list x, y, x, y, ... of at least three points.")
    return read_points([values[i : i + 2] for i in range(0, len(values), 2)], where)


def _decode_runs(runs: dict, where: str, size: Size) -> Bool[np.ndarray, "height width"]:
    """Run lengths down the columns: a list of numbers, or COCO's compressed text."""
    width, height = size
    if runs.get("size") != [height, width]:
        raise UserError(
            f"{where} has run lengths for a size [height, width] of {runs.get('size')}, but its image has "
            f"{[height, width]}."
        )
    counts = runs.get("counts")
    if isinstance(counts, str) and counts:
        return _decode_text(counts, where, size)
    if not isinstance(counts, list) or not all(is_whole(count) and count >= 0 for count in counts):
        counts = []
    if sum(counts) != width * height:
        raise UserError(f"{where} has run lengths that do not add up to the {width} x {height} pixels of its image.")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def _decode_text(counts: str, where: str, size: Size) -> Bool[np.ndarray, "height width"]:
    from pycocotools import mask

    try:
        return mask.decode({"size": [size[1], size[0]], "counts": counts.encode("ascii")}) == 1
    except ValueError as error:  # also what is not ASCII
        raise UserError(f"{where} has broken compressed run lengths ({error}). Is the file complete?") from error
