"""Finds files in a label folder that look like labels but would not be read, so that no label is lost silently."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from unicodedata import normalize

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.json_labels import labels_in_json
from nerfseg_ns.labels.voc import LABELMAP, MASK_FOLDER

_OTHER_IMAGES = (".bmp", ".gif", ".tif", ".tiff", ".webp")

_KNOWN_FOLDERS = ("annotations", MASK_FOLDER)
"""Subfolders whose labels are read."""

_EXPORT_FOLDERS = ("Annotations", "ImageSets", "JPEGImages", "SegmentationObject", "images")
"""Subfolders of exports that are not needed: lists, boxes, instances, copies of the photos."""

_XML_HEAD = 4096
"""How many bytes of an XML are examined."""


def refuse_unread_files(
    folder: Path, files: Sequence[Path], stems: Collection[str], photos: Collection[Path], beside_photos: bool
) -> None:
    """Refuses files that look like labels but cannot be read, and says what to do about each.

    Args:
        folder: holds the label files.
        files: those in it that may hold labels.
        stems: file stems of the photos, composed.
        photos: files that are not overlooked labels: the photos, and labels that the scene names.
        beside_photos: whether the folder is that of the photos, so that its images and archives may be photos.

    Raises:
        UserError: images that are not PNGs, packed exports, XMLs of annotations, labels in subfolders.
    """
    known = {photo.resolve() for photo in photos}
    problems = ErrorCollector()
    problems.each(_refuse_xml, files)
    if not beside_photos:
        problems.each(_refuse_archive, files)
        if not any(path.suffix.lower() == ".json" for path in files):  # beside JSONs lie the images drawn on
            problems.each(lambda path: _refuse_other_image(path, stems), files)
    for subfolder in _subfolders(folder):
        with problems.collect():
            _refuse_labels_below(folder, subfolder, known, beside_photos)
    problems.raise_found()


def _refuse_xml(path: Path) -> None:
    if path.suffix.lower() != ".xml":
        return
    with path.open("rb") as file:
        if b"<annotation" in file.read(_XML_HEAD):  # also CVAT's <annotations>
            raise UserError(
                f"{path} holds annotations as XML (Pascal VOC's boxes or CVAT's own), which are not read: export them "
                "as COCO with polygons or masks, from CVAT also as Segmentation mask 1.1."
            )


def _refuse_archive(path: Path) -> None:
    if path.suffix.lower() == ".zip":
        raise UserError(f"{path} is packed: unpack it into {path.parent}, and move the archive out of the folder.")


def _refuse_other_image(path: Path, stems: Collection[str]) -> None:
    if path.suffix.lower() in _OTHER_IMAGES and normalize("NFC", path.stem) in stems:
        raise UserError(f"{path} has a photo's name but is not a PNG: save it as PNG, or move it out of the folder.")


def _refuse_labels_below(folder: Path, subfolder: Path, known: set[Path], beside_photos: bool) -> None:
    """Refuses labels one or two levels below the label folder; PNGs beside or below photos are photos."""
    if subfolder.name in _KNOWN_FOLDERS + _EXPORT_FOLDERS:
        return
    below = _subfolders(subfolder)
    exports = [path for path in below if path.name in _KNOWN_FOLDERS]
    others = [path for path in below if path.name not in _KNOWN_FOLDERS + _EXPORT_FOLDERS]
    for path, moved in [(path, subfolder) for path in (subfolder, *exports)] + [(path, path) for path in others]:
        images = not beside_photos and path.resolve() not in {photo.parent for photo in known}
        label = next((file for file in sorted(path.iterdir()) if _is_label(file, known, images)), None)
        if label is not None:
            raise UserError(
                f"{label} is not read: labels lie directly in {folder}. Move the content of {moved} there, or, if it "
                "is not a label, out of the folder."
            )


def _is_label(path: Path, known: set[Path], images: bool) -> bool:
    """Whether a file looks like labels; `images`: whether PNGs are labels and not photos."""
    if path.name.startswith(".") or not path.is_file() or path.resolve() in known:
        return False
    if path.suffix.lower() == ".json":
        try:
            return bool(labels_in_json(path))
        except UserError:
            return False
    return path.name == LABELMAP or (images and path.suffix.lower() == ".png")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
