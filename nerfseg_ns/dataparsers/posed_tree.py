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
from PIL import Image

from nerfseg_ns.errors import SceneError

PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg")
PHOTO_MODES = ("L", "RGB", "RGBA")
INDEX_MODES = ("1", "P", *PHOTO_MODES)
SPLIT_FOLDERS = ("train", "validation", "test")

_RIGID_TOLERANCE = 1e-3
"""Files hold six or more digits; a scaled or sheared matrix is off by far more."""


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
        SceneError: files that do not pair up, an unreadable photo, a matrix of the wrong size, a pose that is not
            rigid, intrinsics that do not belong to the photo.
    """
    photos = _list_files(split_folder / "rgb", PHOTO_SUFFIXES)
    poses = _list_files(split_folder / "pose", (".txt",))
    intrinsics = _list_files(split_folder / "intrinsics", (".txt",))
    _check_pairs(photos, poses)
    _check_pairs(photos, intrinsics)
    return [_read_view(*files, modes) for files in zip(photos, poses, intrinsics, strict=True)]


def photo_size(path: Path, modes: Sequence[str] = PHOTO_MODES) -> tuple[int, int]:
    """Width and height of a photo, from its header alone.

    Raises:
        SceneError: the file is missing or no image, or not in one of the modes (8-bit grey, RGB or RGBA).
    """
    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise SceneError(f"Cannot read the photo {path}: {error}") from error
    if mode not in modes:
        raise SceneError(f"The photo {path} is of mode {mode}; save it with 8 bits a channel as RGB.")
    return size


def check_scene(views: Sequence[View]) -> None:
    """Checks what concerns all views of a scene together, all splits.

    Raises:
        SceneError: photos of different sizes, or cameras outside the unit sphere.
    """
    first = views[0]
    for view in views:
        if view.size != first.size:
            raise SceneError(
                f"{view.photo} is {view.size[0]} x {view.size[1]} pixels, {first.photo} {first.size[0]} x "
                f"{first.size[1]}: all photos of a scene have one size. Resize them, and their intrinsics with them."
            )
    farthest = max(views, key=_distance)
    distance = _distance(farthest)
    if distance >= 1:
        raise SceneError(
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
    wanted = " or ".join(f"*{suffix}" for suffix in suffixes)
    if not folder.is_dir():
        raise SceneError(f"There is no folder {folder}; a split holds rgb/, pose/ and intrinsics/.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    if not files:
        raise SceneError(f"There are no files {wanted} in {folder}.")
    return sorted(files)


def _check_pairs(photos: list[Path], others: list[Path]) -> None:
    """Accepts equal stems, or as many files under another naming (then sorted order pairs them)."""
    stems, other_stems = [path.stem for path in photos], [path.stem for path in others]
    own_naming = set(stems).isdisjoint(other_stems)
    if stems == other_stems or (len(stems) == len(other_stems) and own_naming):
        return
    pairs = zip_longest(photos, others)
    photo, other = next(pair for pair in pairs if None in pair or not own_naming and pair[0].stem != pair[1].stem)
    raise SceneError(
        f"{len(photos)} photos in {photos[0].parent}, {len(others)} files in {others[0].parent}: they do not pair up, "
        f"first {photo.name if photo else 'no photo'} with {other.name if other else 'no file'}. Each photo needs one "
        "file of its name there."
    )


def _read_view(photo: Path, pose_file: Path, intrinsics_file: Path, modes: Sequence[str]) -> View:
    size = photo_size(photo, modes)
    pose, intrinsics = _read_matrix(pose_file), _read_matrix(intrinsics_file)
    _check_rigid(pose_file, pose)
    _check_intrinsics(intrinsics_file, intrinsics, size)
    return View(photo, size, pose_file, pose, intrinsics)


def _read_matrix(path: Path) -> Float64[np.ndarray, "4 4"]:
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise SceneError(f"{path} does not hold plain numbers: {error}. Wanted are 16, a 4 x 4 matrix.") from error
    if numbers.size != 16:
        raise SceneError(f"{path} holds {numbers.size} numbers; wanted are 16, a 4 x 4 matrix row by row.")
    if not np.isfinite(numbers).all():
        raise SceneError(f"{path} holds numbers that are not finite; wanted is a 4 x 4 matrix.")
    return numbers.reshape(4, 4)


def _check_rigid(path: Path, pose: Float64[np.ndarray, "4 4"]) -> None:
    rotation = pose[:3, :3]
    remedy = "Wanted is camera-to-world, row by row, OpenCV axes (x right, y down, z forward)."
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > _RIGID_TOLERANCE:
        raise SceneError(f"{path} is no rigid pose: its last row is {pose[3].tolist()}, not 0 0 0 1. {remedy}")
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > _RIGID_TOLERANCE:
        raise SceneError(
            f"{path} is no rigid pose: its axes are not of length 1 and at right angles (off by {error:.2g}). Scale "
            f"the camera positions only, never the 3 x 3 rotation. {remedy}"
        )
    if np.linalg.det(rotation) < 0:
        raise SceneError(f"{path} is no rigid pose: it mirrors (determinant -1). {remedy}")


def _check_intrinsics(path: Path, matrix: Float64[np.ndarray, "4 4"], size: tuple[int, int]) -> None:
    focal, centre = np.array([matrix[0, 0], matrix[1, 1]]), matrix[:2, 2]
    if (focal <= 0).any():
        raise SceneError(f"{path} has the focal lengths {focal.tolist()}; wanted are pixels, above 0.")
    if abs(matrix[0, 1]) > 1e-3 * focal[0]:
        raise SceneError(f"{path} has the skew {matrix[0, 1]:g}; cameras with skew are not supported: undistort first.")
    if (centre < 0).any() or (centre > size).any():
        raise SceneError(
            f"{path} has its principal point at ({centre[0]:g}, {centre[1]:g}), outside its photo of {size[0]} x "
            f"{size[1]} pixels: intrinsics of another image size? Multiply fx, cx and fy, cy by the sizes' ratios."
        )
