"""The photos of a scene and their labels, with or without poses."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.console.progress import say
from nerfseg_ns.dataparsers.photo_names import name_photos
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.find import FORMS, find_labels
from nerfseg_ns.labels.label_maps import require_labelled_pixels, resolve_labels
from nerfseg_ns.labels.photo_label import LabelEncoding, PhotoLabel, Size
from nerfseg_ns.segment.transforms import Listed, read_transforms

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
"""Of photos."""
FOLDER = "images"
"""Of the photos, below the scene's; without it they lie in the scene's folder itself."""
DEEP_MODES = ("I", "F")
"""Of Pillow's, of images with more than 8 bits a channel: as RGB they would be white."""
NOT_PHOTOS = ("contact-sheet.png",)
"""Pictures that nerfseg itself may have left there."""


@dataclass(frozen=True)
class Picture:
    """A photo to be mapped."""

    name: str
    """Of the files that are made of it."""
    path: Path
    label: Optional[PhotoLabel]
    """What the user drew on it, if anything."""

    def read(self) -> UInt8[ndarray, "height width 3"]:
        """The photo as it is stored, as training takes it, whatever its EXIF orientation.

        Raises:
            UserError: it cannot be read.
        """
        with _opened(self.path) as file:
            return np.array(file.convert("RGB"))

    def read_labels(self, table: ClassTable, size: Size) -> UInt8[ndarray, "height width"]:
        """What the user drew, IGNORE_INDEX elsewhere."""
        if self.label is None:
            return np.full(size[::-1], IGNORE_INDEX, dtype=np.uint8)
        return self.label.read(table)


def find_pictures(
    scene: Path, label_folder: str, palette: str = "auto", encoding: LabelEncoding = "auto"
) -> Tuple[List[Picture], ClassTable]:
    """The photos of a folder with their labels, and the classes.

    Args:
        scene: holds images/ (or the photos themselves), the folder of the labels and classes.json.
        label_folder: below it.
        palette: classes of a scene without a classes.json, as in `resolve_labels`.
        encoding: of label PNGs, likewise.

    Raises:
        UserError: all that is wrong with them.
    """
    if not (scene / FOLDER).is_dir() and _is_of_a_dataparser(scene):
        return _through_dataparser(scene, label_folder, palette, encoding)
    paths = photos_in(scene / FOLDER, deep=True) if (scene / FOLDER).is_dir() else photos_in(scene, deep=False)
    if not paths:
        raise UserError(f"There is no photo ({', '.join(SUFFIXES)}) in {scene / FOLDER}, nor in {scene} itself.")
    problems = ErrorCollector()
    sizes = problems.each(_size, paths)
    found: List[Optional[PhotoLabel]] = []
    listed = read_transforms(scene)
    with problems.collect():
        found = find_labels(scene / label_folder, [path.stem for path in paths], paths)
        found = [listed.label_of(path) or label for path, label in zip(paths, found, strict=True)]
        _refuse_twins(paths, found)
    problems.raise_found()
    found = _learnable(paths, found, listed)
    if not any(found):
        raise UserError(
            f"No photo is labelled. Looked for {FORMS} in {scene / label_folder}, for each labelled photo one with "
            "the photo's stem as its name. Label at least one photo."
        )
    table, labels = resolve_labels(found, sizes, scene / "classes.json", palette, encoding)
    require_labelled_pixels(labels, table)
    return _pictures(paths, labels), table


def _learnable(
    paths: Sequence[Path], labels: Sequence[Optional[PhotoLabel]], listed: Listed
) -> List[Optional[PhotoLabel]]:
    """The labels without those of photos that the scene holds out."""
    kept = [None if listed.holds_out(path) else label for path, label in zip(paths, labels, strict=True)]
    left_out = sum(label is not None for label in labels) - sum(label is not None for label in kept)
    if left_out:
        say(f"Labels of {left_out} photos are left out: transforms.json holds these photos out.")
    return kept


def _refuse_twins(paths: Sequence[Path], labels: Sequence[Optional[PhotoLabel]]) -> None:
    """Labels are found by the photo's stem, which must be one photo's alone."""
    stems = Counter(path.stem for path in paths)
    problems = ErrorCollector()
    for path, label in zip(paths, labels, strict=True):
        if label is not None and stems[path.stem] > 1:
            problems.add(
                UserError(
                    f"{stems[path.stem]} photos are named {path.stem}, and {label.place} is a label of that name: of "
                    "which one? Rename the others."
                )
            )
    problems.raise_found()


def _is_of_a_dataparser(scene: Path) -> bool:
    from nerfseg_ns.dataparsers.detect import detect_dataparser

    try:
        detect_dataparser(scene)
    except UserError:
        return False
    return True


def _through_dataparser(
    scene: Path, label_folder: str, palette: str, encoding: LabelEncoding
) -> Tuple[List[Picture], ClassTable]:
    """Photos and labels of a scene in another layout; labels of views that it holds out are not looked at."""
    from nerfseg_ns.dataparsers.choose import parser_config
    from nerfseg_ns.dataparsers.detect import detect_dataparser

    given = {"label_folder": label_folder, "palette": palette, "label_encoding": encoding}
    options = {name: value for name, value in given.items() if value not in ("labels", "auto")}
    parser = parser_config(detect_dataparser(scene), scene, options).setup()
    train = parser.get_dataparser_outputs("train")
    maps = train.metadata["semantics"]
    labels: Dict[Path, Optional[PhotoLabel]] = dict(zip(train.image_filenames, maps.labels))
    for split in ("val", "test"):
        for path in parser.get_dataparser_outputs(split).image_filenames:
            labels.setdefault(path, None)
    return _pictures(list(labels), list(labels.values())), maps.table


def _pictures(paths: Sequence[Path], labels: Sequence[Optional[PhotoLabel]]) -> List[Picture]:
    names = name_photos(paths)
    return [Picture(names[path], path, label) for path, label in zip(paths, labels, strict=True)]


def photos_in(folder: Path, deep: bool) -> List[Path]:
    """The photos of a folder, with those of its subfolders if it is `deep`; none where there is no such folder."""
    if not folder.is_dir():
        return []
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file() and _is_photo(path.name))


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and name not in NOT_PHOTOS


def _size(path: Path) -> Size:
    """Width and height as stored."""
    with _opened(path) as file:
        if file.mode.startswith(DEEP_MODES):
            raise UserError(f"{path} has more than 8 bits a channel ({file.mode}). Save it as a JPEG or 8-bit PNG.")
        return file.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file, of which all that is wrong is told as one."""
    try:
        with Image.open(path) as file:
            yield file
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large for a photo: {error}. Cut it into tiles.") from error
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"Cannot read the photo {path}: {error}. Mend it, or take it out.") from error
