"""Labels as LabelMe's JSONs: the shapes drawn on one photo."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from PIL import Image

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.json_values import read_points, read_size
from nerfseg_ns.labels.names import class_index, is_not_labelled, named_table
from nerfseg_ns.labels.photo_label import LabelOptions, PhotoLabel, Size
from nerfseg_ns.labels.rasterize import Patch, disc_patch, polygon_patch, stroke_patches

_POINTS = {
    "polygon": (3, None),
    "rectangle": (2, 4),  # X-AnyLabeling writes all four corners
    "oriented_rectangle": (4, 4),
    "rotation": (4, 4),  # X-AnyLabeling's name for it
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, None),
    "point": (1, 1),
    "mask": (2, 2),
}
"""The fewest and the most points of a shape, by its shape_type."""

_STROKES = ("line", "linestrip", "point")


@dataclass(frozen=True)
class LabelMeLabel(PhotoLabel):
    """The shapes that LabelMe saved for one photo; later ones lie on top.

    Lines and points are strokes of `rasterize.STROKE_WIDTH` pixels. A shape whose name says "not labelled" (see
    `names.NOT_LABELLED`) erases what lies below it.
    """

    content: dict = field(repr=False, compare=False)
    """The file's content, without the photo that may be in it."""

    @classmethod
    def own_classes(cls, labels: Sequence[LabelMeLabel], options: LabelOptions) -> ClassTable:
        """The names of all shapes, sorted, in made-up colors."""
        shapes = [shape for label in labels for shape in label.content["shapes"] if isinstance(shape, dict)]
        found = {shape.get("label") for shape in shapes}
        names = {name for name in found if isinstance(name, str) and name.strip() and not is_not_labelled(name)}
        return named_table(sorted(names), labels[0].path)

    def read(self, table: ClassTable) -> UInt8[np.ndarray, "height width"]:
        problems = ErrorCollector()
        with problems.collect():
            width, height = size = read_size(self.content, ("imageWidth", "imageHeight"), str(self.path))
        shapes = self.content["shapes"]
        parsed = problems.each(
            lambda item: _parse_shape(item[1], f"{self.path}: shape {item[0]} of {len(shapes)}", table),
            enumerate(shapes, start=1),
        )
        problems.raise_found()
        labels = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
        for shape in parsed:
            for patch in _patches(shape, size):
                patch.paint(labels, shape.class_index)
        return labels


class _Shape(NamedTuple):
    class_index: int
    """IGNORE_INDEX erases."""
    kind: str
    points: Float64[np.ndarray, "points 2"]
    mask: Bool[np.ndarray, "rows columns"] | None
    """Only of the kind "mask"."""


def _parse_shape(shape: Any, where: str, table: ClassTable) -> _Shape:
    """Reads one entry of `shapes`.

    Raises:
        UserError: everything that is wrong with it.
    """
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or "points" not in shape:
        raise UserError(f"{where} has no label or no points. Was the file changed after LabelMe saved it?")
    where = f"{where} ({shape['label']!r})"
    kind = shape.get("shape_type") or "polygon"  # LabelMe did not write it when it had polygons only
    problems = ErrorCollector()
    with problems.collect():
        index = class_index(shape["label"], where, table)
    with problems.collect():
        points = _shape_points(shape["points"], kind, where)
    mask = None
    if kind == "mask":
        with problems.collect():
            mask = _decode_mask(shape.get("mask"), where)
    problems.raise_found()
    return _Shape(index, kind, points, mask)


def _shape_points(values: Any, kind: Any, where: str) -> Float64[np.ndarray, "points 2"]:
    if not isinstance(kind, str) or kind not in _POINTS:
        raise UserError(f"{where} is a {kind!r}; known shapes are {', '.join(_POINTS)}. Draw it as one of these.")
    fewest, most = _POINTS[kind]
    points = read_points(values, where)
    if len(points) < fewest or len(points) > (most or math.inf):
        wanted = f"{fewest}" if fewest == most else f"at least {fewest}" if most is None else f"{fewest} to {most}"
        raise UserError(f"{where} is a {kind} of {len(points)} points; it needs {wanted}. Draw it again or delete it.")
    return points


def _decode_mask(encoded: Any, where: str) -> Bool[np.ndarray, "rows columns"]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            return np.asarray(image if image.mode in ("1", "L", "P") else image.convert("L")) > 0
    except (TypeError, binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{where} is a mask, but its PNG cannot be read: {error}. Is the file complete?") from error


def _patches(shape: _Shape, size: Size) -> list[Patch]:
    """The pixels that a shape covers."""
    points = shape.points
    if shape.mask is not None:
        column, row = points.min(axis=0).round().astype(int).tolist()
        return [Patch(row, column, shape.mask)]
    if shape.kind == "circle":
        return [disc_patch(points[0], float(np.linalg.norm(points[1] - points[0])), size)]
    if shape.kind in _STROKES:
        return stroke_patches(points, size)
    if shape.kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return [polygon_patch(points, size)]
