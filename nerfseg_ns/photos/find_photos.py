"""The photos of a folder, looked at before any long work."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.photos.exif import ExifFacts, read_exif

SUFFIXES = {".jpg": ".jpg", ".jpeg": ".jpeg", ".png": ".png", ".tif": ".png", ".tiff": ".png"}
"""Suffixes of photos, and the suffix of the copy."""
FEWEST = 3
"""Photos below which there is no scene."""


@dataclass(frozen=True)
class Photo:
    """One photo as it lies in the user's folder.

    Args:
        path: of the file.
        size: upright width and height in pixels.
        exif: what its EXIF says.
    """

    path: Path
    size: tuple[int, int]
    exif: ExifFacts

    @property
    def name(self) -> str:
        """File name of the copy; TIFFs become PNGs."""
        suffix = self.path.suffix
        return self.path.stem + (suffix if suffix.lower() in (".jpg", ".jpeg") else SUFFIXES[suffix.lower()])


def find_photos(folder: Path) -> list[Photo]:
    """Opens every photo of a folder.

    Args:
        folder: with photos; folders within it are not searched.

    Returns:
        The photos, sorted by name.

    Raises:
        UserError: there are too few, some cannot be read, or two have one name but for the suffix.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder that holds the photos.")
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    paths = [path for path in files if path.is_file() and path.suffix.lower() in SUFFIXES]
    if len(paths) < FEWEST:
        raise UserError(_too_few(folder, paths, files))
    problems = ErrorCollector()
    with problems.collect():
        _check_stems(paths)
    photos = problems.each(_open, paths)
    problems.raise_found()
    return sorted(photos, key=lambda photo: photo.name)


def group_by_camera(
    photos: list[Photo], single_camera: Literal["auto", "always", "never"], max_side: int
) -> list[list[int]]:
    """Which photos share one lens calibration.

    Args:
        photos: all.
        single_camera: the option; `never` groups by size, and each photo of a group gets a calibration of its own.
        max_side: of the copies in pixels.

    Returns:
        Positions in the list of photos, group by group.

    Raises:
        UserError: one camera was asked for, and the copies would differ in size.
    """
    groups = defaultdict(list)
    for index, photo in enumerate(photos):
        size = copy_size(photo.size, max_side)
        groups[(size, photo.exif.camera if single_camera == "auto" else ())].append(index)
    if single_camera == "always" and len(groups) > 1:
        sizes = ", ".join(f"{width} x {height}" for (width, height), _ in sorted(groups))
        raise UserError(f"--single-camera always needs photos of one size; theirs are {sizes} pixels. Choose auto.")
    return list(groups.values())


def copy_size(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Width and height of a photo's copy: at most `max_side`, never larger than the photo."""
    scale = min(max_side / max(size), 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _too_few(folder: Path, paths: list[Path], files: list[Path]) -> str:
    number = {0: "no photos", 1: "one photo only"}.get(len(paths), f"{len(paths)} photos only")
    text = f"{folder} has {number}; at least {FEWEST} are needed that overlap, as {', '.join(sorted(SUFFIXES))}."
    others = Counter(path.suffix.lower() or "without a suffix" for path in files if path.is_file())
    unread = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(3) if suffix not in SUFFIXES)
    if unread:
        text += f" Other files there: {unread}; convert photos of another kind to JPEG."
    if any(path.is_dir() for path in files):
        text += " Folders within it are not searched: give the one that holds the photos."
    return text


def _check_stems(paths: list[Path]) -> None:
    by_stem = defaultdict(list)
    for path in paths:
        by_stem[path.stem.casefold()].append(path.name)
    repeated = [" and ".join(names) for names in by_stem.values() if len(names) > 1]
    if repeated:
        raise UserError(
            f"Photos in {paths[0].parent} differ in the suffix only: {'; '.join(repeated[:5])}. Label maps are found "
            "by the name without the suffix: remove one of each, or rename."
        )


def _open(path: Path) -> Photo:
    try:
        with Image.open(path) as image:
            size, mode, exif = image.size, image.mode, read_exif(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"Cannot read the photo {path}: {error}. Remove it, or save it anew as a JPEG.") from error
    if mode.startswith(("I", "F")):
        raise UserError(f"{path} has more than 8 bits per channel; convert it to an 8-bit JPEG or PNG.")
    return Photo(path, size[::-1] if exif.orientation >= 5 else size, exif)
