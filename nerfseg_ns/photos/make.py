"""`nerfseg photos`: from a folder of photos to a scene that trains once a few photos are labelled."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from nerfseg_ns.core.files import new_folder, write_text
from nerfseg_ns.errors import UserError
from nerfseg_ns.photos.config import PhotosConfig
from nerfseg_ns.photos.find_photos import find_photos, group_by_camera
from nerfseg_ns.photos.mrk import with_image_log

SUMMARY = "summary.json"


def make_scene(images: Path, output: Path, config: PhotosConfig) -> dict[str, Any]:
    """Makes a scene of photos: copies, poses, sparse points and, by GPS, metres and directions.

    Args:
        images: folder of photos.
        output: folder to write; must not exist or be empty. It appears whole or not at all.
        config: options.

    Returns:
        The figures, as written to `summary.json`.

    Raises:
        UserError: pycolmap is missing, an option makes no sense, the photos or the folder cannot be used, or too few
            photos get a pose.
    """
    config.check()
    _require_pycolmap()
    images, output = Path(images).expanduser(), Path(output).expanduser()
    _check_output(images, output)
    photos = find_photos(images)
    photos = with_image_log(photos, images) if config.use_gps else photos
    cameras = group_by_camera(photos, config.single_camera, config.max_image_side)
    from nerfseg_ns.photos.steps import SceneMaker

    with new_folder(output.resolve()) as folder, tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as work:
        figures = SceneMaker(photos, cameras, config, folder, Path(work)).make()
        write_text(folder / SUMMARY, json.dumps(figures, indent=1) + "\n")
    _print_results(figures, output)
    return figures


def _require_pycolmap() -> None:
    if importlib.util.find_spec("pycolmap") is None:
        raise UserError("nerfseg photos needs pycolmap: pip install 'nerfseg[sfm]' (or, from source, -e '.[sfm]').")


def _check_output(images: Path, output: Path) -> None:
    if output.resolve() == images.resolve():
        raise UserError(f"The scene cannot be written into the folder of its photos, {images}: give another OUT.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; give a folder that does not exist yet.")
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; give a folder that does not exist yet, or remove this one.")


def _print_results(figures: dict[str, Any], output: Path) -> None:
    """Plain lines, so that paths and commands can be copied."""
    from nerfseg_ns.core.device import device_type
    from nerfseg_ns.photos.summary import next_steps, summary_lines

    print("\n".join(["", *summary_lines(figures), "", *next_steps(output, device_type())]), flush=True)
