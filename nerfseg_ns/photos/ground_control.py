"""Ground control: targets whose places are known, marked in photos, in OpenDroneMap's format.

The first line names the coordinate system (EPSG:32611, a PROJ string, or "WGS84 UTM 11N"), each other one has x, y, z,
the pixel's column and row, the photo's name, and perhaps the target's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pyproj
from jaxtyping import Float64
from pyproj.exceptions import CRSError

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.photos.align import Alignment
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.find_photos import Photo
from nerfseg_ns.photos.write_scene import registered

FEWEST = 3
"""Targets that a scene is turned to the earth by."""
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
    to_geodetic = pyproj.Transformer.from_crs(_system(file, lines[0]), "EPSG:4326", always_xy=True)
    sizes = {photo.path.name.lower(): photo for photo in photos}
    targets: dict[str, Target] = {}
    problems = ErrorCollector()
    for number, line in enumerate(lines[1:], start=2):
        with problems.collect():
            _add(targets, file, number, line.split(), to_geodetic, sizes)
    problems.raise_found()
    marked = [target for target in targets.values() if len(target.pixels) > 1]
    if len(marked) < FEWEST:
        raise UserError(
            f"{file} marks {len(marked)} targets in two or more of the photos; {FEWEST} are needed. Are the photos "
            "named as they are in the folder?"
        )
    return marked


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
    to_geodetic: pyproj.Transformer,
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
    longitude, latitude = to_geodetic.transform(x, y)
    if not np.isfinite([longitude, latitude]).all():
        raise UserError(f"Line {number} of {file}: {x:g}, {y:g} is no place in that coordinate system.")
    target = targets.setdefault(name, Target(name, GpsPosition(float(latitude), float(longitude), z)))
    if photo is None:
        return
    width, height = photo.size
    if not (0 <= column <= width and 0 <= row <= height):
        raise UserError(
            f"Line {number} of {file}: pixel {column:g}, {row:g} lies outside {photo.path.name} ({width} x {height})."
        )
    target.pixels[photo.name] = column / width, row / height


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


def residual_table(targets: Sequence[Target], alignment: Alignment) -> list[dict[str, Any]]:
    """What became of each target: its name, photos, distance in metres from its known place, and whether it decided."""
    return [
        {
            "target": target.name,
            "photos": len(target.pixels),
            "residual_m": round(float(residual), 3),
            "used": bool(used),
        }
        for target, residual, used in zip(targets, alignment.residuals, alignment.used)
    ]
