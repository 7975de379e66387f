"""Scenes made of the town for what time and memory depend on: fewer labels, other classes, more and larger photos."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable, Iterable

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.core.files import new_folder
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.town.scene_writer import write_matrix

SPLITS = ("train", "validation", "test")
JPEG_QUALITY = 90

Labels = UInt8[ndarray, "height width"]


def labelled_pixels(town: Path) -> int:
    """Labelled pixels of the training photos."""
    return sum(int((np.asarray(_open(path)) != IGNORE_INDEX).sum()) for path in (town / "train" / "label").iterdir())


def thin_labels(town: Path, output: Path, pixels: int) -> Path:
    """The town with about so many labelled training pixels, evenly spread; the others are not labelled."""
    stride = max(1, math.ceil(math.sqrt(labelled_pixels(town) / pixels)))

    def thinned(labels: Labels) -> Labels:
        thin = np.full_like(labels, IGNORE_INDEX)
        thin[::stride, ::stride] = labels[::stride, ::stride]
        return thin

    return copy_scene(town, output, labels=thinned)


def reclassify(town: Path, output: Path, classes: int) -> Path:
    """The town with another number of classes, whose labels follow the town's and the place in the photo."""
    hues = [(index * 37 % 256, index * 91 % 256, index) for index in range(classes)]

    def renamed(labels: Labels) -> Labels:
        rows, columns = np.indices(labels.shape) // 4
        return ((labels + 12 * rows + 5 * columns) % classes).astype(np.uint8)

    return copy_scene(town, output, labels=renamed, table=ClassTable([f"class {i}" for i in range(classes)], hues))


def enlarge(town: Path, output: Path, size: int, views: int, labelled: int) -> Path:
    """Some of the town's training views, enlarged: as many pixels to hold as in photos of that size.

    Args:
        town: with views enough, all of whose labels are known.
        output: folder to write.
        size: width and height of the photos, pixels.
        views: training views, evenly over the flight.
        labelled: those that come with labels.
    """
    return copy_scene(
        town, output, size=size, chosen=evenly_spaced_indices(len(_stems(town, "train")), views), labelled=labelled
    )


def copy_scene(
    town: Path,
    output: Path,
    labels: Callable[[Labels], Labels] = lambda labels: labels,
    table: ClassTable | None = None,
    size: int | None = None,
    chosen: Iterable[int] | None = None,
    labelled: int | None = None,
) -> Path:
    """Writes a variation of a town.

    Args:
        town: in the Carla-MVS layout.
        output: folder to write, whole or not at all.
        labels: what becomes of every label map.
        table: classes, if not the town's.
        size: of the photos, if not the town's, pixels.
        chosen: training views, if not all.
        labelled: how many of these get labels, if not the town's labelled ones.

    Returns:
        The folder.
    """
    with new_folder(output) as beside:
        for split in SPLITS:
            stems = _stems(town, split)
            stems = [stems[i] for i in chosen] if split == "train" and chosen is not None else stems
            for stem in stems:
                _copy_view(town / split, beside / split, stem, size)
            if split == "train" and labelled is not None:
                label_folder, stems = (
                    town / "truth" / "train" / "label",
                    [stems[i] for i in evenly_spaced_indices(len(stems), labelled)],
                )
            else:
                label_folder = town / split / "label"
            for stem in stems:
                if (label_folder / f"{stem}.png").exists():
                    _copy_labels(label_folder / f"{stem}.png", beside / split / "label" / f"{stem}.png", labels, size)
        (table or ClassTable.load(town / "classes.json")).save(beside / "classes.json")
    return output


def _copy_view(source: Path, target: Path, stem: str, size: int | None) -> None:
    for name in ("rgb", "pose", "intrinsics"):
        (target / name).mkdir(parents=True, exist_ok=True)
    photo = _open(source / "rgb" / f"{stem}.png")
    enlargement = 1.0 if size is None else size / photo.width
    (target / "pose" / f"{stem}.txt").write_bytes((source / "pose" / f"{stem}.txt").read_bytes())
    intrinsics = np.loadtxt(source / "intrinsics" / f"{stem}.txt").reshape(4, 4)
    intrinsics[:2] *= enlargement
    write_matrix(target / "intrinsics" / f"{stem}.txt", intrinsics)
    if size is None:
        (target / "rgb" / f"{stem}.png").write_bytes((source / "rgb" / f"{stem}.png").read_bytes())
    else:
        photo.resize((size, size), Image.Resampling.BICUBIC).save(target / "rgb" / f"{stem}.jpg", quality=JPEG_QUALITY)


def _copy_labels(source: Path, target: Path, labels: Callable[[Labels], Labels], size: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels(np.asarray(_open(source))))
    image = image if size is None else image.resize((size, size), Image.Resampling.NEAREST)
    image.save(target, compress_level=1)


def _stems(town: Path, split: str) -> list[str]:
    return sorted(path.stem for path in (town / split / "rgb").iterdir())


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image
