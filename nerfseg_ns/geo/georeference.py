"""Where on the earth a scene or a run is: what is kept beside it so that later outputs can be georeferenced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from jaxtyping import Float, Float64

from nerfseg_ns.core.files import write_text
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.quality import Quality

AXES = "x east, y north, z up, metres"
METADATA_KEY = "georeference"
"""Key of a `Georeference` in the metadata of dataparser outputs."""
FILE_NAME = "georeference.json"
"""Name of the file in the folder of a run."""


@dataclass(frozen=True, eq=False)
class Georeference:
    """Ties coordinates of a trained scene to the earth: `scene = scale * (rotation local + translation)`.

    Args:
        frame: the local frame, metres.
        transform: rotation and translation [R | t], from local metres, as nerfstudio's `dataparser_transform`.
        scale: scene units per metre, as nerfstudio's `dataparser_scale`.
        quality: what heights are counted from, and how exact it all is.
    """

    frame: LocalFrame
    transform: Float64[np.ndarray, "3 4"]
    scale: float
    quality: Quality = field(default_factory=Quality)

    @property
    def metres_per_unit(self) -> float:
        """Metres per unit of the trained scene."""
        return 1 / self.scale

    def to_local(self, points: Float[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Points of the trained scene in local metres: east, north, up."""
        points = np.asarray(points, dtype=np.float64)
        return (points / self.scale - self.transform[:, 3]) @ self.transform[:, :3]

    def from_local(self, points: Float[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Points of the trained scene at local metres: east, north, up."""
        return self.scale * (np.asarray(points, dtype=np.float64) @ self.transform[:, :3].T + self.transform[:, 3])

    def to_geodetic(self, points: Float[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Latitude, longitude (degrees) and altitude (metres) of points of the trained scene."""
        return self.frame.to_geodetic(self.to_local(points))

    def save(self, path: Path) -> None:
        """Writes the file that `load` reads, whole or not at all."""
        content = {
            **origin_record(self.frame, self.quality),
            "transform": np.asarray(self.transform).tolist(),
            "scale": self.scale,
            "metres_per_unit": self.metres_per_unit,
            "note": "scene = scale * (transform[:, :3] @ local + transform[:, 3]); local = east, north, up in metres",
        }
        write_text(path, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Georeference:
        """Reads what `save` wrote.

        Raises:
            UserError: the file is missing or of another form.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            transform = np.array(content["transform"], dtype=np.float64).reshape(3, 4)
            quality = Quality.read(content, str(path))
            return cls(read_origin(content, str(path)), transform, float(content["scale"]), quality)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"Cannot read the georeference {path}: {error!r}") from error


def origin_record(frame: LocalFrame, quality: Optional[Quality] = None) -> dict[str, Any]:
    """A local frame as it is written into JSON files: origin, axes, the figure of the earth, heights and accuracy."""
    origin = {"latitude": frame.latitude, "longitude": frame.longitude, "altitude": frame.altitude}
    sphere = {"earth": "sphere", "earth_radius": frame.earth_radius}
    earth = {"earth": "WGS 84"} if frame.earth_radius is None else sphere
    return {"origin": origin, "axes": AXES, **earth, **(quality or Quality()).record()}


def read_origin(record: Mapping[str, Any], where: str) -> LocalFrame:
    """The local frame that `origin_record` wrote.

    Args:
        record: holds `origin` with latitude, longitude and altitude; without an `earth_radius` the earth is WGS 84's.
        where: the file, for messages.

    Raises:
        UserError: the record has another form or other axes.
    """
    try:
        origin = record["origin"]
        latitude, longitude, altitude = (float(origin[name]) for name in ("latitude", "longitude", "altitude"))
        radius = record.get("earth_radius")
        radius = None if radius is None else float(radius)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The georeference in {where} has no origin: expected "
            '{"origin": {"latitude": 47.1, "longitude": 8.5, "altitude": 420.0}, "axes": "' + AXES + '"}.'
        ) from error
    if record.get("axes", AXES) != AXES:
        raise UserError(f"The georeference in {where} has the axes {record['axes']!r}; only {AXES!r} are known.")
    return LocalFrame(latitude, longitude, altitude, radius)
