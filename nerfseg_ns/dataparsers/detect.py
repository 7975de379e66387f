"""Tells from its files which dataparser a scene is for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nerfseg_ns.errors import UserError

CARLA_MVS, GOOGLE_EARTH, LABELLED_PHOTOS = "carla-mvs-data", "google-earth-data", "labelled-photos-data"

COLMAP_FOLDERS = ("colmap/sparse/0", "sparse/0", "sparse", "colmap")
"""Where COLMAP and ns-process-data leave a model."""


def find_colmap(scene: Path, folders: Iterable[str] = COLMAP_FOLDERS) -> Path | None:
    """The first of the folders, relative to the scene, that holds a COLMAP model; None if none does."""
    files = ("cameras.bin", "cameras.txt")
    return next((Path(path) for path in folders if any((scene / path / name).exists() for name in files)), None)


def detect_dataparser(scene: Path) -> str:
    """Name of the dataparser that reads a scene.

    Args:
        scene: the scene's folder, or its transforms.json.

    Raises:
        UserError: there is no such folder, or no scene in it that any dataparser knows.
    """
    if not scene.exists():
        raise UserError(f"There is no folder {scene}. Name the folder of a scene.")
    if scene.is_file():
        return _of_json(scene)
    if (scene / "transforms.json").exists() or find_colmap(scene) is not None:
        return LABELLED_PHOTOS
    if (scene / "train").is_dir():
        return CARLA_MVS
    if any(is_track(path) for path in sorted(scene.glob("*.json"))):
        return GOOGLE_EARTH
    raise UserError(
        f"{scene} is not a scene: looked for transforms.json or a COLMAP model (own photos; nerfseg photos makes "
        "one from plain photos), train/ with rgb/, pose/ and intrinsics/ (Carla-MVS layout), and a JSON with "
        "cameraFrames (Earth Studio's 3D tracking data). Is it the scene's own folder?"
    )


def _of_json(file: Path) -> str:
    if file.suffix != ".json":
        raise UserError(f"{file} is a file; name the folder of the scene.")
    return GOOGLE_EARTH if is_track(file) else LABELLED_PHOTOS


def is_track(path: Path) -> bool:
    """Whether a JSON is Earth Studio's: by its text, so that a truncated one is recognised too."""
    try:
        return '"cameraFrames"' in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
