"""The flight of the label video: a loop around the town along which no photo was taken."""

from __future__ import annotations

import json
from typing import Any, Dict

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from nerfseg_ns.core.files import write_text
from nerfseg_ns.demo.folder import DemoFolder
from nerfseg_ns.town.cameras import METRES_PER_UNIT, look_at

RADIUS, RADIUS_SWING = 74.0, 14.0
ALTITUDE, ALTITUDE_SWING = 84.0, 20.0
"""Metres. The flight dips and climbs twice a turn, within and below the rings of the training photos."""
TARGET_HEIGHT = 6.0
FRAMES_PER_SECOND = 18
FIELD_OF_VIEW = 46.0
"""Vertical opening angle, degrees."""


def loop(frames: int) -> Float[ndarray, "frames 4 4"]:
    """Camera-to-world matrices of a closed flight in scene units, nerfstudio's axes (x right, y up, z backward)."""
    poses = []
    for turn in 2 * np.pi * np.arange(frames) / frames:
        swing = -np.cos(2 * turn)  # starts low and wide
        radius, altitude = RADIUS - RADIUS_SWING * swing, ALTITUDE + ALTITUDE_SWING * swing
        eye = np.array([radius * np.cos(turn), radius * np.sin(turn), altitude])
        pose = look_at(eye, np.array([0.0, 0.0, TARGET_HEIGHT]), np.array([0.0, 0.0, 1.0]))
        pose[:3, 3] /= METRES_PER_UNIT
        pose[:3, 1:3] *= -1
        poses.append(pose)
    return np.stack(poses)


def write_camera_path(folder: DemoFolder, frames: int, image_size: int) -> Dict[str, Any]:
    """Writes the flight in the form of the viewer's camera paths, which ns-render reads.

    Args:
        folder: of the demo.
        frames: of the video.
        image_size: of the town's photos, pixels; the frames are 4 : 3 and somewhat larger.

    Returns:
        What was written.
    """
    unit = 5 * image_size // 16
    width, height = 4 * unit, 3 * unit
    path = {
        "camera_type": "perspective",
        "render_width": width,
        "render_height": height,
        "fps": FRAMES_PER_SECOND,
        "seconds": frames / FRAMES_PER_SECOND,
        "is_cycle": True,
        "smoothness_value": 0,
        "keyframes": [],
        "crop": None,
        "camera_path": [
            {"camera_to_world": pose.ravel().tolist(), "fov": FIELD_OF_VIEW, "aspect": width / height}
            for pose in loop(frames)
        ],
    }
    write_text(folder.camera_path, json.dumps(path))
    return path
