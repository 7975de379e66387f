"""Checks what transforms.json says about all photos together, before nerfstudio reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nerfstudio.cameras.cameras import CAMERA_MODEL_TO_TYPE

from nerfseg_ns.errors import ErrorCollector, UserError

LISTS = ("train_filenames", "val_filenames", "test_filenames")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_LARGEST_DISTORTION = 1e3
"""Coefficients of real lenses are below 10."""


def require_frames(meta: Any, where: str) -> None:
    """Raises UserError if there is no list of several photos, each with a path and a pose."""
    frames = meta.get("frames") if isinstance(meta, dict) else None
    usable = isinstance(frames, list) and all(isinstance(frame, dict) for frame in frames)
    if not frames or not usable or not all("file_path" in frame and "transform_matrix" in frame for frame in frames):
        raise UserError(f"{where} lists no photos: expected frames, each with file_path and transform_matrix.")
    for position, frame in enumerate(frames):
        path = frame["file_path"]
        if not isinstance(path, str) or not path or "\\" in path:
            raise UserError(
                f"{where}: the file_path of frame {position} is {path!r}; expected the photo's path as text, with "
                "forward slashes."
            )
    if len(frames) == 1:
        raise UserError(f"{where} lists only one photo; a scene is learnt from many photos that overlap.")


def validate_transforms(meta: dict, where: str) -> None:
    """Checks the entries that nerfstudio takes as they are.

    Raises:
        UserError: everything that is wrong with them.
    """
    problems = ErrorCollector()
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "camera_model": (_is_camera_model, f"one of {', '.join(CAMERA_MODEL_TO_TYPE)}"),
        "ply_file_path": (lambda value: isinstance(value, str), "a path as text"),
        "applied_transform": (lambda value: _are_numbers(value, (3, 4)), "3 x 4 finite numbers"),
        "applied_scale": (lambda value: _are_numbers(value, ()) and value > 0, "a number above 0"),
        **dict.fromkeys(LISTS, (_is_list_of_names, "a list of photos, not empty (leave it out to split by eval-mode)")),
    }
    for key, (is_right, expected) in checks.items():
        if key in meta and not is_right(meta[key]):
            problems.add(UserError(f"{where} has the {key} {meta[key]!r}; expected {expected}."))
    lenses = [(frame, key) for frame in (meta, *meta["frames"]) for key in _DISTORTION if key in frame]
    problems.each(lambda pair: _check_distortion(*pair, where), lenses)
    problems.raise_found()


def _check_distortion(frame: dict, key: str, where: str) -> None:
    value = frame[key]
    if not _are_numbers(value, ()) or abs(value) > _LARGEST_DISTORTION:
        of = f" of {frame['file_path']}" if "file_path" in frame else ""
        raise UserError(f"{where}: the distortion {key}{of} is {value!r}; expected a small finite number.")


def _is_camera_model(value: Any) -> bool:
    return isinstance(value, str) and value in CAMERA_MODEL_TO_TYPE


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _are_numbers(value: Any, shape: tuple[int, ...]) -> bool:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return array.shape == shape and bool(np.isfinite(array).all()) and not isinstance(value, (str, bool))
