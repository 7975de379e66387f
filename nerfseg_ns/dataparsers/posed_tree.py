"""Reads a tree of posed photos in the layout of NeRF++ and Carla-MVS, one split after the other.

    SCENE/{train,validation,test}/{rgb/*.png, pose/*.txt, intrinsics/*.txt}

`pose` holds 16 numbers, camera-to-world 4 x 4 row by row, OpenCV axes (x right, y down, z forward), cameras inside the
unit sphere; `intrinsics` 16 numbers, 4 x 4, in pixels. Files pair up by sorted order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from nerfseg_ns.dataparsers.photo_file import PHOTO_MODES, PHOTO_SUFFIXES, photo_size
from nerfseg_ns.dataparsers.poses import rigid_pose
from nerfseg_ns.errors import ErrorCollector, UserError

INDEX_MODES = ("1", "P", *PHOTO_MODES)
SPLIT_FOLDERS = ("train", "validation", "test")

_RIGID_TOLERANCE = 1e-3
"""Files hold six or more digits; a scaled or sheared matrix is off by far more."""
_REMEDY = "Expected camera-to-world, row by row, OpenCV axes (x right, y down, z forward)."


@dataclass(frozen=True)
class View:
    """One photo with its camera."""

    photo: Path
    """The image file; its stem is the view's name."""
    size: tuple[int, int]
    """Width and height, pixels."""
    pose_file: Path
    """Where the pose is from, for messages."""
    camera_to_world: Float64[np.ndarray, "4 4"]
    """OpenCV axes, world units."""
    intrinsics: Float64[np.ndarray, "4 4"]
    """Pixels."""


def read_views(split_folder: Path, modes: Sequence[str] = PHOTO_MODES) -> list[View]:
    """Reads all views of a split, in sorted order.

    Args:
        split_folder: holds rgb/, pose/ and intrinsics/.
        modes: Pillow's names of the image modes that rgb/ may hold.

    Raises:
        UserError: files that do not pair up, an unreadable photo, a matrix of the wrong size, a pose that is not
            rigid, intrinsics that do not belong to the photo.
    """
    photos = _list_files(split_folder / "rgb", PHOTO_SUFFIXES)
    poses = _list_files(split_folder / "pose", (".txt",))
    intrinsics = _list_files(split_folder / "intrinsics", (".txt",))
    problems = ErrorCollector()
    problems.each(lambda others: _check_pairs(photos, others), (poses, intrinsics))
    problems.raise_found()
    views = problems.each(lambda files: _read_view(*files, modes), zip(photos, poses, intrinsics, strict=True))
    problems.raise_found()
    return views


def check_scene(views: Sequence[View]) -> None:
    """Checks what concerns all views of a scene together, all splits.

    Raises:
        UserError: photos of different sizes, or cameras outside the unit sphere.
    """
    problems = ErrorCollector()
    problems.each(lambda view: _check_same_size(view, views[0]), views)
    with problems.collect():
        _check_unit_sphere(views)
    problems.raise_found()


def _check_same_size(view: View, first: View) -> None:
    if view.size != first.size:
        raise UserError(
            f"{view.photo} is {view.size[0]} x {view.size[1]} pixels, {first.photo} {first.size[0]} x "
            f"{first.size[1]}: all photos of a scene must have the same size. Resize them, and "
            "their intrinsics with them."
        )


def _check_unit_sphere(views: Sequence[View]) -> None:
    farthest = max(views, key=_distance)
    distance = _distance(farthest)
    if distance >= 1:
        raise UserError(
            f"The camera of {farthest.pose_file} is {distance:.4g} from the origin, outside the unit sphere, where all "
            f"cameras must be. Multiply the camera positions of all splits by {_floor_digits(0.99 / distance):g} "
            "(or move the origin between the cameras first)."
        )


def _distance(view: View) -> float:
    return float(np.linalg.norm(view.camera_to_world[:3, 3]))


def _floor_digits(value: float) -> float:
    """Rounds down to two significant digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / step) * step


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    patterns = " or ".join(f"*{suffix}" for suffix in suffixes)
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; a split holds rgb/, pose/ and intrinsics/.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    if not files:
        raise UserError(f"There are no files {patterns} in {folder}.")
    return sorted(files)


def _check_pairs(photos: list[Path], others: list[Path]) -> None:
    """Accepts equal stems, or as many files under another naming (then sorted order pairs them)."""
    stems, other_stems = [path.stem for path in photos], [path.stem for path in others]
    own_naming = set(stems).isdisjoint(other_stems)
    if stems == other_stems or (len(stems) == len(other_stems) and own_naming):
        return
    pairs = zip_longest(photos, others)
    photo, other = next(pair for pair in pairs if None in pair or not own_naming and pair[0].stem != pair[1].stem)
    raise UserError(
        f"{len(photos)} photos in {photos[0].parent}, {len(others)} files in {others[0].parent}: they do not pair up, "
        f"first {photo.name if photo else 'no photo'} with {other.name if other else 'no file'}. Each photo needs one "
        "file of its name there."
    )


def _read_view(photo: Path, pose_file: Path, intrinsics_file: Path, modes: Sequence[str]) -> View:
    problems = ErrorCollector()
    with problems.collect():
        size = photo_size(photo, modes)
    with problems.collect():
        pose = rigid_pose(_read_matrix(pose_file), str(pose_file), _RIGID_TOLERANCE, _REMEDY)
    with problems.collect():
        intrinsics = _read_matrix(intrinsics_file)
    problems.raise_found()
    _check_intrinsics(intrinsics_file, intrinsics, size)
    return View(photo, size, pose_file, pose, intrinsics)


def _read_matrix(path: Path) -> Float64[np.ndarray, "4 4"]:
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} does not hold plain numbers: {error}. Expected 16 numbers, a 4 x 4 matrix.") from error
    if numbers.size != 16:
        raise UserError(f"{path} holds {numbers.size} numbers; expected 16, a 4 x 4 matrix row by row.")
    if not np.isfinite(numbers).all():
        raise UserError(f"{path} holds numbers that are not finite; expected a 4 x 4 matrix.")
    return numbers.reshape(4, 4)


def _check_intrinsics(path: Path, matrix: Float64[np.ndarray, "4 4"], size: tuple[int, int]) -> None:
    focal, centre = np.array([matrix[0, 0], matrix[1, 1]]), matrix[:2, 2]
    if (focal <= 0).any():
        raise UserError(f"{path} has the focal lengths {focal.tolist()}; expected pixels, above 0.")
    if abs(matrix[0, 1]) > 1e-3 * focal[0]:
        raise UserError(f"{path} has the skew {matrix[0, 1]:g}; cameras with skew are not supported: undistort first.")
    if (centre < 0).any() or (centre > size).any():
        raise UserError(
            f"{path} has its principal point at ({centre[0]:g}, {centre[1]:g}), outside its photo of {size[0]} x "
            f"{size[1]} pixels: are the intrinsics those of another image size? Multiply fx, cx and fy, cy by the "
            "ratios of the sizes."
        )
