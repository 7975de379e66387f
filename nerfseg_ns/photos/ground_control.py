"""Ground control: targets whose places are known, marked in photos, in OpenDroneMap's format.

The first line names the coordinate system (EPSG:32611, a PROJ string, or "WGS84 UTM 11N"), each other one has x, y, z,
the pixel's column and row, the photo's name, and perhaps the target's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pyproj
from jaxtyping import Float64
from pyproj.exceptions import CRSError

from nerfseg_ns.console.progress import say
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.geo.quality import ZERO_CONTROL
from nerfseg_ns.photos.alignment import Alignment
from nerfseg_ns.photos.control_system import ControlSystem
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.find_photos import Photo
from nerfseg_ns.photos.write_scene import registered

FEWEST = 3
"""Targets that a scene is turned to the earth by."""
SAME_PIXEL = 500
"""Marks within a five-hundredth of a photo are at one place."""
UTM = re.compile(r"WGS\s*84\s+UTM\s+(\d{1,2})\s*([NS])", re.IGNORECASE)


@dataclass
class Target:
    """A marked place.

    Args:
        name: of it.
        place: on the earth.
        pixels: column and row, as shares of the photo's width and height, by the photo's name.
    """

    name: str
    place: GpsPosition
    pixels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def without(self, photo: str) -> Target:
        """The target without its mark in a photo."""
        return replace(self, pixels={name: pixel for name, pixel in self.pixels.items() if name != photo})


def read_targets(file: Path, photos: Sequence[Photo]) -> list[Target]:
    """Reads a ground control file.

    Args:
        file: as OpenDroneMap's gcp_list.txt.
        photos: of the scene; marks in others are left aside.

    Raises:
        UserError: it cannot be read, or marks fewer than three targets in at least two photos each.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the ground control {file}: {error}") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise UserError(f"{file} is empty; expected a coordinate system and lines of x y z column row photo.")
    system = ControlSystem(_system(file, lines[0]))
    sizes = {photo.path.name.lower(): photo for photo in photos}
    targets: dict[str, Target] = {}
    problems = ErrorCollector()
    for number, line in enumerate(lines[1:], start=2):
        with problems.collect():
            _add(targets, file, number, line.split(), system, sizes)
    problems.raise_found()
    for remark in filter(None, [system.remark(), _twice_marked(targets)]):
        say(remark)
    marked = [target for target in targets.values() if len(target.pixels) > 1]
    if len(marked) < FEWEST:
        raise UserError(
            f"{file} marks {len(marked)} targets in two or more of the photos; {FEWEST} are needed. Are the photos "
            "named as they are in the folder?"
        )
    return _level_if_flat(file, marked)


def _level_if_flat(file: Path, targets: list[Target]) -> list[Target]:
    """Heights that are all 0 were not measured: the targets are taken to lie on a level, and this is said."""
    if any(target.place.altitude for target in targets):
        return targets
    say(f"All heights in {file} are 0, so they were not measured: the scene's are counted from the targets' level.")
    return [replace(target, place=replace(target.place, heights=ZERO_CONTROL)) for target in targets]


def _system(file: Path, line: str) -> pyproj.CRS:
    utm = UTM.fullmatch(line)
    text = f"EPSG:{(32600 if utm[2].upper() == 'N' else 32700) + int(utm[1])}" if utm else line
    try:
        return pyproj.CRS.from_user_input(text)
    except CRSError as error:
        raise UserError(
            f"The first line of {file} is {line!r}; expected the coordinate system, as EPSG:32611, WGS84 UTM 11N or a "
            f"PROJ string ({error})."
        ) from error


def _add(
    targets: dict[str, Target],
    file: Path,
    number: int,
    words: list[str],
    system: ControlSystem,
    sizes: dict[str, Photo],
) -> None:
    try:
        x, y, z, column, row = map(float, words[:5])
        photo = sizes.get(words[5].lower())
    except (ValueError, IndexError) as error:
        raise UserError(
            f"Line {number} of {file} is {' '.join(words)!r}; expected x y z column row photo [target]."
        ) from error
    name = words[6] if len(words) > 6 else f"{words[0]} {words[1]}"
    place = system.place(x, y, z)
    if place is None:
        raise UserError(f"Line {number} of {file}: {x:g}, {y:g}, {z:g} is no place in that coordinate system.")
    target = targets.setdefault(name, Target(name, place))
    if target.place != place:
        raise UserError(f"Line {number} of {file}: {name} has another place here than in a line before; name it anew.")
    if photo is None:
        return
    width, height = photo.size
    if not (0 <= column <= width and 0 <= row <= height):
        raise UserError(
            f"Line {number} of {file}: pixel {column:g}, {row:g} lies outside {photo.path.name} ({width} x {height})."
        )
    target.pixels[photo.name] = column / width, row / height


def _twice_marked(targets: dict[str, Target]) -> str:
    """Targets that share a pixel of a photo: one of the marks is wrong. Empty if there are none."""
    seen: dict[tuple[str, int, int], str] = {}
    found = []
    for target in targets.values():
        for photo, (column, row) in target.pixels.items():
            other = seen.setdefault((photo, round(column * SAME_PIXEL), round(row * SAME_PIXEL)), target.name)
            if other != target.name:
                found.append(f"{other} and {target.name} in {photo}")
    return f"Two targets are marked at one place, so a mark is wrong: {'; '.join(found)}." if found else ""


def triangulate(
    model: pycolmap.Reconstruction, targets: Sequence[Target]
) -> tuple[list[Target], Float64[np.ndarray, "n 3"]]:
    """Where targets are in a reconstruction: the point nearest to the rays through their marks. Targets that fewer than
    two photos with a pose show are left out."""
    images = {image.name: image for image in registered(model)}
    found, points = [], []
    for target in targets:
        shown = [(images[name], pixel) for name, pixel in target.pixels.items() if name in images]
        if len(shown) > 1:
            found.append(target)
            points.append(_nearest_point([_ray(image, pixel) for image, pixel in shown]))
    return found, np.array(points).reshape(-1, 3)


def _ray(image: pycolmap.Image, pixel: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    camera = image.camera
    on_plane = camera.cam_from_img(np.array([pixel[0] * camera.width, pixel[1] * camera.height]))
    direction = image.cam_from_world().rotation.matrix().T @ np.append(on_plane, 1.0)
    return image.projection_center(), direction / np.linalg.norm(direction)


def _nearest_point(rays: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The point with the least sum of squared distances to lines."""
    across = [np.eye(3) - np.outer(direction, direction) for _, direction in rays]
    return np.linalg.solve(sum(across), sum(part @ origin for part, (origin, _) in zip(across, rays)))


def residual_table(
    targets: Sequence[Target], alignment: Alignment, wrong_marks: dict[str, str]
) -> list[dict[str, Any]]:
    """What became of each target: its name, photos, distance in metres from its known place, and whether it decided.

    Args:
        targets: in the alignment's order.
        alignment: to the earth.
        wrong_marks: the photo whose mark was left out, by target.
    """
    return [
        {
            "target": target.name,
            "photos": len(target.pixels),
            "residual_m": round(float(np.linalg.norm(offset)), 3),
            "plan_m": round(float(np.linalg.norm(offset[:2])), 3),
            "height_m": round(float(offset[2]), 3),
            "used": bool(used),
            **({"wrong_mark": wrong_marks[target.name]} if target.name in wrong_marks else {}),
        }
        for target, offset, used in zip(targets, alignment.offsets, alignment.used)
    ]
