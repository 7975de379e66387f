"""Finds the files of an Earth Studio scene: the tracking JSON, the rendered frames, the list of test frames."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from nerfseg_ns.dataparsers.detect import is_track
from nerfseg_ns.dataparsers.photo_file import PHOTO_SUFFIXES
from nerfseg_ns.errors import ErrorCollector, UserError

TEST_LIST = "test.txt"
"""Names the frames to hold out, one per line."""

_CLASSES = "classes.json"
_FOOTAGE = ("footage", "images")
"""Folders of frames; without them the frames lie beside the JSON."""
_NUMBERED = re.compile(r"(.*?)(\d+)")
"""A frame's stem: a name and its number, as in town_0012."""


def find_tracking_file(data: Path) -> Path:
    """The scene's 3D tracking data.

    Args:
        data: the scene's folder, or the JSON itself.

    Raises:
        UserError: there is none, or there are several.
    """
    if data.is_file():
        return data
    if not data.is_dir():
        raise UserError(f"There is no folder {data}; --data is the folder with Earth Studio's tracking JSON.")
    candidates = sorted(path for path in data.glob("*.json") if path.name != _CLASSES and not path.name.startswith("."))
    if len(candidates) > 1:  # only then are they read twice
        candidates = [path for path in candidates if is_track(path)] or candidates
    if len(candidates) == 1:
        return candidates[0]
    expected = f"{data} should hold one JSON with Earth Studio's 3D tracking data, beside {_CLASSES}"
    if not candidates:
        found = sorted(path.name for path in data.iterdir())
        raise UserError(f"{expected}; there is none among {', '.join(found[:10]) or 'no files at all'}.")
    names = ", ".join(path.name for path in candidates)
    raise UserError(f"{expected}; found {names}. Give the right one as --data, or move the others away.")


def find_frames(folder: Path) -> list[Path]:
    """The rendered frames in the order of their numbers.

    Args:
        folder: the scene's.

    Raises:
        UserError: there are none, or everything that is wrong with their names.
    """
    found = {place: files for place in _FOOTAGE if (files := _images(folder / place))} or {".": _images(folder)}
    if len(found) > 1:
        counts = " and ".join(f"{len(files)} in {folder / place}" for place, files in found.items())
        raise UserError(f"There are frames in two places, {counts}. Move one of the folders out of the scene.")
    ((place, files),) = found.items()
    numbered = [(match, path) for path in files if (match := _NUMBERED.fullmatch(path.stem))]
    if not numbered:
        raise UserError(
            f"There are no frames in {folder / _FOOTAGE[0]}, {folder / _FOOTAGE[1]} or {folder}: looked for numbered "
            "images such as NAME_0000.jpeg, as Earth Studio renders them."
        )
    frames = sorted((int(match[2]), path) for match, path in numbered)
    problems = ErrorCollector()
    with problems.collect():
        _check_one_name([match[1] for match, _ in numbered], folder / place)
    with problems.collect():
        _check_unique([number for number, _ in frames], folder / place)
    problems.raise_found()
    return [path for _, path in frames]


def check_numbering(frames: list[Path], cameras: int, file: Path) -> None:
    """Checks that frames and cameras match one to one.

    Args:
        frames: from `find_frames`.
        cameras: number of camera frames in the tracking data.
        file: the tracking data, for messages.

    Raises:
        UserError: there are more or fewer frames than cameras, or their numbers do not run from 0 or 1.
    """
    numbers = [_number_of(path) for path in frames]
    missing = _missing_numbers(numbers)
    if len(frames) != cameras:
        raise UserError(
            f"{frames[0].parent} holds {len(frames)} frames ({frames[0].name} to {frames[-1].name}), but {file} has "
            f"{cameras} cameraFrames.{missing} Render all frames of the project that the tracking data was exported "
            "from, and export both again if the project has changed in between."
        )
    if numbers[0] > 1 or missing:
        raise UserError(
            f"The frames in {frames[0].parent}, {frames[0].name} to {frames[-1].name}, are not numbered one after the "
            f"other from 0 or 1.{missing} Which camera belongs to which frame? Keep Earth Studio's names."
        )


def read_test_list(folder: Path) -> list[str] | None:
    """File names of the frames to hold out, None where the scene has no such list.

    Raises:
        UserError: the list cannot be read or names nothing.
    """
    path = folder / TEST_LIST
    if not path.exists():
        return None
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {error}. Expected one frame name per line.") from error
    names = [Path(line).name for line in lines if line and not line.startswith("#")]
    if not names:
        raise UserError(f"{path} names no frame: write one frame name per line, or remove the file.")
    return names


def _number_of(frame: Path) -> int:
    match = _NUMBERED.fullmatch(frame.stem)
    assert match is not None, "find_frames leaves out images without a number"
    return int(match[2])


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith("."))


def _check_one_name(names: list[str], folder: Path) -> None:
    counts = Counter(names)
    if len(counts) > 1:
        shown = ", ".join(f"{count} named {name}..." for name, count in list(counts.items())[:5])
        raise UserError(f"{folder} holds frames of several renderings: {shown}. Keep only one of them.")


def _check_unique(numbers: list[int], folder: Path) -> None:
    repeated = [number for number, count in Counter(numbers).items() if count > 1]
    if repeated:
        raise UserError(f"{folder} holds several frames with the number {repeated[0]}; keep one of each.")


def _missing_numbers(numbers: list[int]) -> str:
    """Names the first gap in ascending numbers, if there is one."""
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    return f" Missing: number {missing[0]}{', and others' if len(missing) > 1 else ''}." if missing else ""
