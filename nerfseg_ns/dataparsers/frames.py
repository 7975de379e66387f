"""The frames of a scene in nerfstudio's form (`transforms.json`), checked one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from nerfseg_ns.dataparsers.photo_file import photo_size
from nerfseg_ns.dataparsers.poses import rigid_pose
from nerfseg_ns.errors import ErrorCollector, UserError

_RIGID_TOLERANCE = 1e-2
"""Files of some tools have few digits."""
_REMEDY = "Expected camera-to-world, 4 x 4, OpenGL axes (x right, y up, z backward)."
_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
MASK_KEY, DEPTH_KEY = "mask_path", "depth_file_path"
MASK_MODES = ("1", "L", "P", "RGB", "RGBA")
LABEL_KEY = "label_path"
"""Key of a frame that names its label file, relative to the folder of transforms.json."""
_BESIDE = (MASK_KEY, DEPTH_KEY, LABEL_KEY)


@dataclass(frozen=True)
class Frame:
    """One photo of the scene."""

    photo: Path
    """The image that is loaded: the photo, or a copy of it that is scaled down."""
    original: Path
    """The photo at full size; it need not exist where a copy is loaded."""
    label_size: tuple[int, int]
    """Width and height of the photo at full size, which its labels have too; pixels."""
    camera_to_world: Float64[np.ndarray, "4 4"]
    """OpenGL axes, units of the file."""
    label: Path | None
    """The label file that the frame names itself."""


def read_frames(
    meta: dict, folder: Path, where: str, loaded: Callable[[Path], Path], problems: ErrorCollector
) -> list[Frame]:
    """Reads and checks all frames.

    Args:
        meta: content of transforms.json.
        folder: that its paths are relative to.
        where: where the content is from, for messages.
        loaded: gives, for a frame's file_path, the image to load, possibly scaled down.
        problems: takes everything that is wrong with the photos, their intrinsics and their poses.

    Returns:
        The frames that have nothing wrong with them.
    """
    frames = problems.each(lambda frame: _read_frame(frame, meta, folder, where, loaded), meta["frames"])
    stems = Counter(Path(str(frame["file_path"])).stem for frame in meta["frames"])
    for stem, count in stems.items():
        if count > 1:
            problems.add(
                UserError(f"{count} photos of {where} are named {stem}: labels are found by that name. Rename them.")
            )
    positions = np.array([frame.camera_to_world[:3, 3] for frame in frames]).reshape(-1, 3)
    if len(frames) > 1 and np.ptp(positions, axis=0).max() == 0:
        problems.add(UserError(f"All cameras of {where} are in the same place: no scene can be learnt from that."))
    return frames


def _read_frame(frame: dict, meta: dict, folder: Path, where: str, loaded: Callable[[Path], Path]) -> Frame:
    problems, name = ErrorCollector(), str(frame["file_path"])
    with problems.collect():
        pose = rigid_pose(
            frame["transform_matrix"], f"{where}: the transform_matrix of {name}", _RIGID_TOLERANCE, _REMEDY
        )
    with problems.collect():
        intrinsics = _read_intrinsics(frame, meta, where)
    with problems.collect():
        photo = loaded(Path(name))
        size = photo_size(photo)
    problems.each(lambda key: _check_beside(frame, key, folder, where), [key for key in _BESIDE if key in frame])
    problems.raise_found()
    _check_size(photo, size, intrinsics, is_full=photo == folder / name, where=where)
    full = (int(intrinsics["w"]), int(intrinsics["h"]))
    label = frame.get(LABEL_KEY)
    return Frame(photo, folder / name, full, pose, None if label is None else folder / label)


def _check_beside(frame: dict, key: str, folder: Path, where: str) -> None:
    """A file that a frame names beside its photo is there; a mask is an image."""
    path = frame[key]
    if not isinstance(path, str):
        raise UserError(f"{where}: the {key} of {frame['file_path']} is {path!r}; expected a path as text.")
    if key == MASK_KEY:
        photo_size(folder / path, MASK_MODES)
    elif key == DEPTH_KEY and not (folder / path).is_file():
        raise UserError(f"There is no file {folder / path}, which {where} names as {key} of {frame['file_path']}.")


def _read_intrinsics(frame: dict, meta: dict, where: str) -> dict[str, float]:
    """fl_x, fl_y, cx, cy, w, h of a frame, from the file's head or the frame, in pixels."""
    values: dict[str, Any] = {key: meta.get(key, frame.get(key)) for key in _INTRINSICS}
    if any(key in frame for key in _INTRINSICS):  # otherwise they are those of the file's head: told once
        where = f"{where}: {frame['file_path']}"
    missing = [key for key, value in values.items() if value is None]
    if missing:
        raise UserError(
            f"{where} has no {', '.join(missing)}: the camera's intrinsics, in pixels, belong in each frame or once at "
            "the top of the file (fl_x, fl_y, cx, cy, w, h)."
        )
    try:
        numbers = {key: float(value) for key, value in values.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} has intrinsics that are not numbers: {values}.") from error
    positive = all(numbers[key] > 0 for key in ("fl_x", "fl_y", "w", "h"))
    if not np.isfinite(list(numbers.values())).all() or not positive:
        raise UserError(f"{where} has impossible intrinsics, {values}; expected pixels, above 0.")
    if not (0 <= numbers["cx"] <= numbers["w"] and 0 <= numbers["cy"] <= numbers["h"]):
        raise UserError(
            f"{where} has its principal point at ({numbers['cx']:g}, {numbers['cy']:g}), outside its "
            f"{numbers['w']:g} x {numbers['h']:g} pixels: are the intrinsics those of another image size?"
        )
    return numbers


def _check_size(photo: Path, size: tuple[int, int], intrinsics: dict[str, float], is_full: bool, where: str) -> None:
    """The photo has the size that its intrinsics are for; a copy that is scaled down has its proportions."""
    width, height = int(intrinsics["w"]), int(intrinsics["h"])
    if size == (width, height):
        return
    factor = width / size[0]
    proportional = factor > 1 and abs(height / factor - size[1]) <= 1 + 1e-6
    if is_full or not proportional:
        raise UserError(
            f"{photo} is {size[0]} x {size[1]} pixels, but its intrinsics in {where} are for {width} x {height} (w, "
            "h). Resize the photo, or multiply w, h, fl_x, fl_y, cx and cy by the ratio of the sizes."
        )
