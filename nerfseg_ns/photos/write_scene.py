"""Writes a reconstruction as a nerfstudio scene."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import numpy as np
import pycolmap
from jaxtyping import Float64
from nerfstudio.process_data.colmap_utils import parse_colmap_camera_params

from nerfseg_ns.core.files import write_text
from nerfseg_ns.geo.georeference import METADATA_KEY, origin_record
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.quality import Quality

POINTS = "sparse_pc.ply"


def write_scene(
    folder: Path, model: pycolmap.Reconstruction, frame: Optional[LocalFrame], quality: Optional[Quality] = None
) -> None:
    """Writes transforms.json, the sparse points and COLMAP's own files.

    Args:
        folder: of the scene; `images/` with the registered photos, under their names in the model, is there already.
        model: the reconstruction.
        frame: the local frame that the model is in, if it is.
        quality: of the frame: what its heights are counted from, how exact it is.
    """
    shared = len(_cameras_in_use(model)) == 1
    content: dict[str, Any] = {}
    if shared:
        content = _intrinsics(model.cameras[_cameras_in_use(model)[0]])
    else:
        content["camera_model"] = _intrinsics(model.cameras[_cameras_in_use(model)[0]])["camera_model"]
    content["ply_file_path"] = POINTS
    if frame is not None:
        content[METADATA_KEY] = origin_record(frame, quality)
    content["frames"] = [_frame(image, shared) for image in registered(model)]
    model.export_PLY(folder / POINTS)
    (folder / "colmap").mkdir()
    model.write(folder / "colmap")
    (folder / "labels").mkdir()
    write_text(folder / "transforms.json", json.dumps(content, indent=1) + "\n")


def registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """The photos that have a pose, sorted by name."""
    return sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)


def camera_to_world(image: pycolmap.Image) -> Float64[np.ndarray, "4 4"]:
    """Pose in OpenGL axes: x right, y up, z backward."""
    pose = np.eye(4)
    pose[:3] = image.cam_from_world().inverse().matrix()
    pose[:3, 1:3] *= -1
    return pose


def _cameras_in_use(model: pycolmap.Reconstruction) -> list[int]:
    return sorted({image.camera_id for image in registered(model)})


def _frame(image: pycolmap.Image, shared: bool) -> dict[str, Any]:
    frame = {"file_path": f"images/{image.name}", "transform_matrix": camera_to_world(image).tolist()}
    if not shared:
        intrinsics = _intrinsics(image.camera)
        del intrinsics["camera_model"]  # nerfstudio knows one for all photos
        frame.update(intrinsics)
    return frame


def _intrinsics(camera: pycolmap.Camera) -> dict[str, Any]:
    """Size, focal lengths, principal point and distortion as nerfstudio names them."""
    plain = SimpleNamespace(width=camera.width, height=camera.height, model=camera.model.name, params=camera.params)
    return parse_colmap_camera_params(plain)
