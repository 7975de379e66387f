"""The label maps of a split, in nerfstudio's `Semantics`: what travels as `metadata["semantics"]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from nerfstudio.data.dataparsers.base_dataparser import Semantics
from PIL import Image
from torch import Tensor

from nerfseg_ns.errors import SceneError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.palettes import choose_table
from nerfseg_ns.labels.reader import Encoding, check_labels, decide_encoding, read_label, scan_labels


@dataclass
class LabelMaps(Semantics):
    """Label files of one split and how to read them; make it with `LabelMaps.of`.

    Inherited: `filenames`, per photo of the split a label file or None (a view without labels); `classes`, the names;
    `colors`, Float [classes, 3], exactly k / 255.
    """

    table: ClassTable = field(kw_only=True)
    """The scene's classes, the same in every split."""
    encoding: Encoding = field(kw_only=True)
    """How the scene's label files encode classes."""

    @classmethod
    def of(cls, filenames: Sequence[Path | None], table: ClassTable, encoding: Encoding) -> LabelMaps:
        """The label maps of a split: per photo a label file or None."""
        colors = torch.from_numpy(table.color_array).float() / 255
        return cls(list(filenames), list(table.names), colors, table=table, encoding=encoding)

    @property
    def labelled(self) -> tuple[int, ...]:
        """Positions, in the split, of the photos that have a label file."""
        return tuple(index for index, path in enumerate(self.filenames) if path is not None)

    def read(self, index: int, height: int, width: int) -> UInt8[Tensor, "height width 1"]:
        """Reads one photo's label map.

        Args:
            index: the photo's position in the split.
            height: height of the image as loaded, in pixels; a label map of another size is resized to it (nearest
                neighbour), since photos may be loaded scaled down.
            width: width of the image as loaded, in pixels.

        Returns:
            Class indices; IGNORE_INDEX where not labelled, everywhere for a view without a label file.
        """
        path = self.filenames[index]
        if path is None:
            return torch.full((height, width, 1), IGNORE_INDEX, dtype=torch.uint8)
        labels = read_label(path, self.table, self.encoding)
        if labels.shape != (height, width):
            labels = np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
        return torch.from_numpy(labels)[..., None]


def resolve_labels(
    paths: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    classes_file: Path,
    palette: str = "auto",
    encoding: str = "auto",
) -> tuple[ClassTable, Encoding]:
    """Finds a scene's class table and how its label files encode classes, and checks every label file.

    Args:
        paths: all label files of the scene, of all splits, at least one.
        sizes: for each the (width, height) that it must have.
        classes_file: the scene's `classes.json`; where it does not exist, a built-in palette is chosen.
        palette: name of a built-in palette or "auto".
        encoding: "index", "rgb" or "bgr", or "auto" to decide over all files' colours and the whole palette.

    Raises:
        SceneError: anything that is wrong with the class table or a label file.
    """
    if not paths:
        raise SceneError("There is not one label file to read classes from.")
    table = ClassTable.load(classes_file) if classes_file.exists() else None
    colors = scan_labels(paths, sizes)
    if table is None:
        table = choose_table(colors, palette, encoding)
    chosen: Encoding = decide_encoding(colors, table) if encoding == "auto" else encoding
    check_labels(paths, colors, table, chosen)
    return table, chosen
