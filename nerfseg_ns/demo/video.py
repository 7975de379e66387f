"""The label video along the camera path: color, overlay and labels side by side, and every label map as a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import mediapy
import numpy as np
from jaxtyping import UInt8
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.utils.rich_utils import CONSOLE
from numpy import ndarray
from rich.progress import track

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.demo.evaluate import label_map
from nerfseg_ns.demo.folder import DemoFolder
from nerfseg_ns.pictures.label_colors import save_labels
from nerfseg_ns.pictures.views import to_bytes
from nerfseg_ns.pipeline import NerfSegPipeline

PANELS = ("rgb", "semantics_overlay", "semantics_colormap")
ENLARGEMENT = 2
"""Frames are enlarged pixel by pixel: players' videos hold color at half the resolution, which blurs label edges."""
QUALITY = 16
"""x264's constant rate factor; 18 and less looks lossless."""


def render_video(pipeline: NerfSegPipeline, camera_path: Dict[str, Any], folder: DemoFolder) -> None:
    """Renders the flight that ns-render would, and writes the video and the label maps.

    Args:
        pipeline: of the trained run.
        camera_path: in nerfstudio's form.
        folder: of the demo.
    """
    cameras = get_path_from_json(camera_path).to(pipeline.device)
    maps = pipeline.datamanager.eval_dataset.label_maps
    frames = []
    for index in track(range(len(cameras)), "Rendering the label video", console=CONSOLE, transient=True):
        outputs = pipeline.model.get_view(cameras[index : index + 1])
        frames.append(np.concatenate([to_bytes(outputs[name]) for name in PANELS], axis=1))
        save_labels(folder.labels / "flight" / f"{index:04d}.png", label_map(outputs), maps.table.color_array)
    write_whole(folder.video, lambda path: write_video(path, np.stack(frames), camera_path["fps"]))


def write_video(path: Path, frames: UInt8[ndarray, "frames height width 3"], fps: float) -> None:
    """Writes an mp4 that every browser plays: H.264, yuv420p, sides of even length, index first."""
    large = frames.repeat(ENLARGEMENT, axis=1).repeat(ENLARGEMENT, axis=2)
    mediapy.write_video(
        path, large, fps=fps, codec="h264", crf=QUALITY, encoded_format="yuv420p", ffmpeg_args="-movflags +faststart"
    )
