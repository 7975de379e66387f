"""Finds the labels of photos in a folder, whatever form they have.

    FOLDER/STEM.png                                     class indices or colors
    FOLDER/labelmap.txt  FOLDER/SegmentationClass/...   a VOC export
    FOLDER/STEM.json                                    LabelMe
    FOLDER/*.json  FOLDER/annotations/*.json            COCO

The folder may be that of the photos, where LabelMe puts its files. Labels in it are then JSONs, and PNGs that have the
name of a photo but are not that photo (IMG.png beside IMG.jpg); all other images are photos, though the scene may not
use them.

Names are compared in Unicode's composed form: macOS writes "ö" as "o" and a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from unicodedata import normalize

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.json_labels import labels_in_json
from nerfseg_ns.labels.photo_label import PhotoLabel
from nerfseg_ns.labels.pixels import jpeg_error
from nerfseg_ns.labels.png import PngLabel
from nerfseg_ns.labels.unread_files import refuse_unread_files
from nerfseg_ns.labels.voc import VocLabel, find_labelmap, find_masks

FORMS = "PNGs, LabelMe or COCO JSONs, or a VOC export with its labelmap.txt"
"""What labels may be, for messages."""

_JPEG_SUFFIXES = (".jpg", ".jpeg")
_COCO_FOLDER = "annotations"


def find_labels(folder: Path, stems: Sequence[str], photos: Collection[Path] = ()) -> list[PhotoLabel | None]:
    """Finds the labels of each photo.

    Args:
        folder: holds the label files; it need not exist.
        stems: file stems of the photos.
        photos: the photos' own files, which may lie in the folder.

    Returns:
        Per photo its labels, None where there are none.

    Raises:
        UserError: all that is wrong: labels that belong to no photo, two for one photo, broken files, and files that
            look like labels but would not be read.
    """
    if not folder.is_dir():
        return [None] * len(stems)
    stems = [_composed(stem) for stem in stems]
    problems = ErrorCollector()
    found: dict[str, PhotoLabel] = {}
    for path in _list_files(folder, stems, photos, problems):
        with problems.collect():
            for name, label in _labels_in(path):
                stem = _composed(name)
                with problems.collect():
                    _refuse_second(found.setdefault(stem, label), label, stem)
    problems.each(lambda stem: _refuse_stray(found[stem], stem, stems), sorted(set(found) - set(stems)))
    problems.raise_found()
    return [found.get(stem) for stem in stems]


def open_label(path: Path, stem: str) -> PhotoLabel:
    """The labels of one photo in a file that the scene names for it.

    Raises:
        UserError: there is no such file, or it holds no labels of that photo.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}, which the scene names as the label of the photo {stem}.")
    if path.suffix.lower() in _JPEG_SUFFIXES:
        raise jpeg_error(path)
    labels = {_composed(name): label for name, label in _labels_in(path)}
    # A file of one photo's labels may have a name of its own.
    label = labels.get(_composed(stem)) or (labels.get(_composed(path.stem)) if len(labels) == 1 else None)
    if label is None:
        raise UserError(f"{path} holds no labels of the photo {stem}; expected {FORMS}.")
    return label


def _list_files(folder: Path, stems: Sequence[str], photos: Collection[Path], problems: ErrorCollector) -> list[Path]:
    """The files that may hold labels; notes those that seem to, but cannot."""
    files = _visible_files(folder) + [path for path in _visible_files(folder / _COCO_FOLDER) if _is_json(path)]
    with problems.collect():
        files += find_masks(folder)
    beside_photos = any(photo.parent.resolve() == folder.resolve() for photo in photos)
    with problems.collect():
        refuse_unread_files(folder, files, stems, photos, beside_photos)
    if beside_photos:
        own = {photo.name for photo in photos}
        beside_a_photo = [path for path in files if _composed(path.stem) in stems and path.name not in own]
        other = [path for path in files if path.suffix.lower() in READERS and not _is_png(path)]
        return other + [path for path in beside_a_photo if _is_png(path)]
    if not any(map(_is_json, files)):  # beside JSONs lie the JPEGs that were drawn on
        problems.each(_refuse_jpeg, files)
    return files


def _visible_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _labels_in(path: Path) -> list[tuple[str, PhotoLabel]]:
    """The labels that a file holds, with the stems of their photos."""
    reader = READERS.get(path.suffix.lower())
    return [] if reader is None else reader(path)


def _labels_in_png(path: Path) -> list[tuple[str, PhotoLabel]]:
    labelmap = find_labelmap(path)
    return [(path.stem, PngLabel(path) if labelmap is None else VocLabel(path, labelmap))]


READERS: dict[str, Callable[[Path], list[tuple[str, PhotoLabel]]]] = {".json": labels_in_json, ".png": _labels_in_png}
"""By the suffix of a file, what gives the labels in it, with the stems of their photos. Other files hold none."""


def _composed(name: str) -> str:
    return normalize("NFC", name)


def _refuse_jpeg(path: Path) -> None:
    if path.suffix.lower() in _JPEG_SUFFIXES:
        raise jpeg_error(path)


def _refuse_second(first: PhotoLabel, label: PhotoLabel, stem: str) -> None:
    if first is not label:
        raise UserError(
            f"The photo {stem} has two labels, {first.place} and {label.place}: which one counts? Move the "
            "other one out of the folder."
        )


def _refuse_stray(label: PhotoLabel, stem: str, stems: Sequence[str]) -> None:
    message = f"{label.place} belongs to no photo: none of the {len(stems)} photos is named {stem}. "
    # Roboflow makes IMG_0031_jpg.rf.1a2b.jpg of IMG_0031.jpg.
    begins = [name for name in stems if name and stem.startswith(name) and not stem[len(name)].isalnum()]
    if begins:
        message += f"Did the export rename the photo {max(begins, key=len)}? A label has the name of its photo: "
        message += "rename file_name in it back." if _is_json(label.path) else "rename it back."
    else:
        message += "A label has the name of its photo. Rename it, or move it out of the folder."
    raise UserError(message)
