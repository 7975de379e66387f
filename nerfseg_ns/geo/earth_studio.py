"""Google Earth Studio's "3D tracking data": its JSON and camera poses in a local frame, in both directions.

The conventions, from exports and from what others found out about them:

- The earth is a sphere, `EARTH_RADIUS`: `position` is where latitude and longitude, taken as spherical, and altitude
  say, to all digits (the export of github.com/FedericoCGI's matchmoving thesis; the origin in BungeeNeRF's
  GES2pose.py). Frames are rendered on that sphere too, so its local frame is the one in which the views agree.
- `rotation` turns the camera's OpenCV axes (x right, y down, z forward) into the earth-centred ones: about x, then the
  new y, then the new z. So 180, latitude - 90, -90 looks straight down with north up (stackoverflow.com/q/68705448),
  and the numbers in community.cesium.com/t/43144 give the heading and pitch that were set there.
- `fovVertical` is the whole opening angle; pixels are square.
- There is one camera frame more than `numFrames`, and as many images: the last frame counts.
- Positions may be exported relative to a track point, along the same axes; `coordinate` is absolute all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.geo.local_frame import LocalFrame

EARTH_RADIUS = 6371010.0
"""Metres, of Earth Studio's spherical earth."""

_EULER = "XYZ"
"""SciPy's name for the order of rotations, about axes that turn along."""
_SAME_PLACE = 1.0
"""Metres by which `position` and `coordinate` of a camera may differ; exports agree to far less."""
_LOWEST = -500.0
"""Altitude, metres: nothing on land is lower."""
_LONGITUDES, _LATITUDES, _ALTITUDES = (-180.0, 180.0), (-89.9999, 89.9999), (1.0, 65117481.0)
"""Ranges in which Earth Studio stores a track point's coordinates, as fractions."""


@dataclass(frozen=True, eq=False)
class Track:
    """The cameras of an Earth Studio project, one per rendered frame."""

    name: str
    """The project's."""
    size: tuple[int, int]
    """Width and height of the rendered frames, pixels."""
    frame: LocalFrame
    """Its origin is the track point, or where there is none the cameras' mean."""
    poses: Float64[np.ndarray, "frames 4 4"]
    """Camera-to-world, local metres, OpenCV axes."""
    fov_vertical: Float64[np.ndarray, " frames"]
    """Opening angle over the image's height, degrees."""
    track_points: Float64[np.ndarray, "points 3"]
    """Local metres."""

    def intrinsics(self, size: tuple[int, int]) -> Float64[np.ndarray, "frames 4"]:
        """Pinhole cameras of the frames at a size.

        Args:
            size: width and height of the frames as they are on disk, pixels.

        Returns:
            fx, fy, cx, cy in pixels.

        Raises:
            UserError: the size has a different aspect ratio from the track.
        """
        (width, height), (rendered_width, rendered_height) = size, self.size
        expected = width * rendered_height / rendered_width, height * rendered_width / rendered_height
        if abs(expected[0] - height) > 1 and abs(expected[1] - width) > 1:  # a pixel, for sizes that were rounded
            raise UserError(
                f"The frames are {width} x {height} pixels, the track was exported for {rendered_width} x "
                f"{rendered_height}: the aspect ratio differs. Frames may be resized, but not cropped or stretched."
            )
        focal = rendered_height / 2 / np.tan(np.radians(self.fov_vertical) / 2)
        count = len(focal)
        return np.stack(
            [
                focal * width / rendered_width,
                focal * height / rendered_height,
                np.full(count, width / 2),
                np.full(count, height / 2),
            ],
            axis=-1,
        )


def load_track(path: Path) -> Track:
    """Reads a file of 3D tracking data.

    Raises:
        UserError: the file is missing or incomplete, or `read_track` finds something wrong with it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot read {path}: {error}. Expected Earth Studio's 3D tracking data, complete; export it again."
        ) from error
    return read_track(content, str(path))


def read_track(content: Any, where: str) -> Track:
    """Makes a track of the content of an Earth Studio JSON.

    Args:
        content: the parsed JSON.
        where: the file, for messages.

    Raises:
        UserError: everything that is wrong with it.
    """
    if not isinstance(content, dict) or not isinstance(content.get("cameraFrames"), list):
        raise UserError(
            f"{where} has no list cameraFrames, so it is not Earth Studio's 3D tracking data: with the frames, "
            'render the "3D tracking data" as JSON.'
        )
    problems = ErrorCollector()
    with problems.collect():
        size = _whole_number(content, "width", where), _whole_number(content, "height", where)
    with problems.collect():
        _check_count(content, where)
    frames = problems.each(
        lambda item: _read_frame(item[1], f"{where}, cameraFrames[{item[0]}]"), enumerate(content["cameraFrames"])
    )
    listed = content["trackPoints"] if isinstance(content.get("trackPoints"), list) else []
    points = problems.each(
        lambda item: _numbers(item[1], "position", "xyz", f"{where}, trackPoints[{item[0]}]"), enumerate(listed)
    )
    problems.raise_found()
    earth_radius, offset = _place_positions(frames, where)
    cameras = np.array([frame.position for frame in frames]) + offset
    track_points = np.array(points).reshape(-1, 3) + offset
    origin = track_points[_origin_index(listed)] if len(listed) else cameras.mean(axis=0)
    local = LocalFrame.at_ecef(origin, earth_radius)
    poses = np.tile(np.eye(4), (len(frames), 1, 1))
    rotations = Rotation.from_euler(_EULER, [frame.rotation for frame in frames], degrees=True).as_matrix()
    poses[:, :3, :3] = local.rotation_from_ecef @ rotations
    poses[:, :3, 3] = local.from_ecef(cameras)
    fov_vertical = np.array([frame.fov_vertical for frame in frames])
    return Track(str(content.get("name", "")), size, local, poses, fov_vertical, local.from_ecef(track_points))


def write_track(track: Track, frame_rate: float = 30.0) -> dict[str, Any]:
    """The content of the JSON that Earth Studio exports for a track, in its form; `read_track`'s inverse."""
    positions = track.frame.to_ecef(track.poses[:, :3, 3])
    rotations = Rotation.from_matrix(track.frame.rotation_from_ecef.T @ track.poses[:, :3, :3])
    columns = (
        positions,
        rotations.as_euler(_EULER, degrees=True),
        track.frame.to_geodetic(track.poses[:, :3, 3]),
        track.fov_vertical,
    )
    camera_frames = [
        {
            "position": _named(position, "xyz"),
            "rotation": _named(rotation, "xyz"),
            "coordinate": _named(place, ("latitude", "longitude", "altitude")),
            "fovVertical": float(fov),
        }
        for position, rotation, place, fov in zip(*columns, strict=True)
    ]
    width, height = track.size
    last = len(camera_frames) - 1
    return {
        "name": track.name,
        "width": width,
        "height": height,
        "frameRate": frame_rate,
        "numFrames": last,
        "durationSeconds": last / frame_rate,
        "cameraFrames": camera_frames,
        "trackPoints": [_track_point(track.frame, point, i) for i, point in enumerate(track.track_points, start=1)],
    }


class _CameraFrame(NamedTuple):
    """Numbers of one camera frame as they are in the file."""

    position: list[float]
    rotation: list[float]
    place: list[float]
    fov_vertical: float


def _read_frame(record: Any, where: str) -> _CameraFrame:
    problems = ErrorCollector()
    with problems.collect():
        position = _numbers(record, "position", "xyz", where)
    with problems.collect():
        rotation = _numbers(record, "rotation", "xyz", where)
    with problems.collect():
        place = _numbers(record, "coordinate", ("latitude", "longitude", "altitude"), where)
        if abs(place[0]) > 90 or abs(place[1]) > 360 or place[2] < _LOWEST:
            raise UserError(
                f"{where}: no camera can be at latitude {place[0]:g}, longitude {place[1]:g}, altitude {place[2]:g} m."
            )
    with problems.collect():
        fov = _number(record, "fovVertical", where)
        if not 0 < fov < 180:
            raise UserError(f"{where}: fovVertical is {fov:g} degrees; expected an angle between 0 and 180.")
    problems.raise_found()
    return _CameraFrame(position, rotation, place, fov)


def _check_count(content: Mapping[str, Any], where: str) -> None:
    last, count = _whole_number(content, "numFrames", where, least=0), len(content["cameraFrames"])
    if count == 0:
        raise UserError(f"{where}: cameraFrames is empty; export the 3D tracking data of an animation.")
    if count not in (last, last + 1):
        raise UserError(
            f"{where}: there are {count} cameraFrames, but numFrames is {last} (expected {last + 1} or {last} "
            "cameraFrames). Export the 3D tracking data again."
        )


def _place_positions(frames: list[_CameraFrame], where: str) -> tuple[float | None, Float64[np.ndarray, " 3"] | float]:
    """Finds out from the cameras' coordinates what their positions are relative to.

    Returns:
        The radius of the earth, None for the WGS 84 ellipsoid (which other programs may write), and what to add to
        positions to make them earth-centred.

    Raises:
        UserError: positions and coordinates do not belong together.
    """
    positions = np.array([frame.position for frame in frames])
    places = np.array([frame.place for frame in frames])
    latitude, longitude, altitude = frames[0].place
    differences: dict[float | None, Float64[np.ndarray, "frames 3"]] = {}
    for earth_radius in (EARTH_RADIUS, None):
        local = LocalFrame(latitude, longitude, altitude, earth_radius)
        differences[earth_radius] = local.to_ecef(local.from_geodetic(places)) - positions
        if np.linalg.norm(differences[earth_radius], axis=1).max() <= _SAME_PLACE:
            return earth_radius, 0.0
    offset = differences[EARTH_RADIUS].mean(axis=0)
    constant = np.linalg.norm(differences[EARTH_RADIUS] - offset, axis=1).max() <= _SAME_PLACE
    if constant and np.linalg.norm(positions, axis=1).max() < EARTH_RADIUS / 2:
        return EARTH_RADIUS, offset
    worst = int(np.linalg.norm(differences[EARTH_RADIUS], axis=1).argmax())
    distance = np.linalg.norm(differences[EARTH_RADIUS][worst])
    raise UserError(
        f"{where}, cameraFrames[{worst}]: position and coordinate are {distance:.4g} m apart. Expected positions in "
        "metres from the earth's centre (or, for all frames, from one track point) that agree with latitude, longitude "
        "and altitude. Was the file edited? Export it again."
    )


def _origin_index(track_points: list[Any]) -> int:
    """The track point that the project has chosen as origin, else the first."""
    for index, point in enumerate(track_points):
        if isinstance(point.get("coordinate"), dict) and point["coordinate"].get("isOrigin"):
            return index
    return 0


def _numbers(record: Any, key: str, names: str | tuple[str, ...], where: str) -> list[float]:
    """The finite numbers of an object within an object."""
    group = record.get(key) if isinstance(record, dict) else None
    if not isinstance(group, dict):
        raise UserError(f"{where} has no {key} with {', '.join(names)}. Export the 3D tracking data again.")
    return [_number(group, name, f"{where}, {key}") for name in names]


def _number(record: Any, name: str, where: str) -> float:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        shown = "missing" if value is None else f"{value!r}"
        raise UserError(f"{where}: {name} is {shown}; expected a finite number.")
    return float(value)


def _whole_number(record: Mapping[str, Any], name: str, where: str, least: int = 1) -> int:
    value = _number(record, name, where)
    if value != int(value) or value < least:
        raise UserError(f"{where}: {name} is {value:g}; expected a whole number of at least {least}.")
    return int(value)


def _named(values: Float64[np.ndarray, " n"], names: str | tuple[str, ...]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _track_point(frame: LocalFrame, point: Float64[np.ndarray, " 3"], number: int) -> dict[str, Any]:
    latitude, longitude, altitude = frame.to_geodetic(point)
    name = f"Track Point {number}"
    coordinates = (
        ("longitude", longitude, _LONGITUDES),
        ("latitude", latitude, _LATITUDES),
        ("altitude", altitude, _ALTITUDES),
    )
    attributes = [
        {
            "type": kind,
            "value": {
                "maxValueRange": highest,
                "minValueRange": lowest,
                "relative": float((value - lowest) / (highest - lowest)),
            },
            "visible": True,
        }
        for kind, value, (lowest, highest) in coordinates
    ]
    position = {"type": "position", "visible": True, "attributesLocked": True, "attributes": attributes}
    coordinate = {"name": name, "color": "#148fbc", "visible": True, "position": position, "isOrigin": False}
    return {
        "position": _named(frame.to_ecef(point), "xyz"),
        "name": name,
        "coordinate": coordinate,
        "visible": True,
    }
