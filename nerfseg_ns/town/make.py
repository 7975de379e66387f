"""Writes a town to disk in the Carla-MVS layout, with the truth apart."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nerfseg_ns.errors import SceneError
from nerfseg_ns.town.cameras import METRES_PER_UNIT, plan_cameras
from nerfseg_ns.town.cameras import intrinsics as camera_matrix
from nerfseg_ns.town.classes import CLASSES
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.layout import build_town
from nerfseg_ns.town.render import Renderer, View

VERSION = 1
"""Counts up when the same options give other bytes than before."""
RECORD = "town.json"


def make_town(config: TownConfig, output: Path) -> Path:
    """Makes the town and writes it, whole or not at all.

    Args:
        config: What to make.
        output: Folder to write; must not exist, be empty, or hold the finished town of the very same options, which is
            then left as it is.

    Returns:
        The folder.

    Raises:
        SceneError: An option makes no sense, or the folder holds something else.
    """
    output = Path(output)
    _check(config)
    record = {"generator": "nerfseg town", "version": VERSION, "config": asdict(config)}
    if _is_finished(output, record):
        CONSOLE.print(f"The town of seed {config.seed} is in {output} already.")
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        _write_scene(config, record, beside)
        beside.chmod(0o755)
        if output.exists():
            output.rmdir()
        os.replace(beside, output)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return output


def labelled_indices(views: int, labelled: int) -> list[int]:
    """Which of the training views come with labels: evenly over the flight, away from its ends."""
    return [int((i + 0.5) * views / labelled) for i in range(labelled)]


def _check(config: TownConfig) -> None:
    least = {
        "image_size": 8,
        "train_views": 1,
        "validation_views": 1,
        "test_views": 1,
        "labelled_views": 1,
        "supersampling": 1,
    }
    for name, minimum in least.items():
        if getattr(config, name) < minimum:
            raise SceneError(f"{name} is {getattr(config, name)}; a town needs at least {minimum}.")
    if config.labelled_views > config.train_views:
        raise SceneError(
            f"labelled_views is {config.labelled_views}, but there are only {config.train_views} training views; "
            "ask for fewer labelled views or more training views."
        )
    if not 10 <= config.field_of_view <= 100:
        raise SceneError(f"field_of_view is {config.field_of_view} degrees; choose one between 10 and 100.")
    if config.seed < 0:
        raise SceneError(f"seed is {config.seed}; choose one of 0 or more.")


def _is_finished(output: Path, record: dict) -> bool:
    """Whether the folder holds this very town; raises where it holds anything else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    try:
        found = json.loads((output / RECORD).read_text())
    except (OSError, ValueError):
        found = {}
    if isinstance(found, dict) and all(found.get(key) == value for key, value in record.items()):
        return True
    raise SceneError(
        f"A town was to be written to {output}, but there is something else already (another town, or other files); "
        "give a folder that does not exist, or remove this one."
    )


def _write_scene(config: TownConfig, record: dict, folder: Path) -> None:
    renderer = Renderer(build_town(config.seed), config.seed)
    flights = plan_cameras(config)
    camera = camera_matrix(config)
    labelled = set(labelled_indices(config.train_views, config.labelled_views))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        task = progress.add_task("Rendering the town", total=sum(len(poses) for poses in flights.values()))
        for split, poses in flights.items():
            for index, pose in enumerate(poses):
                view = renderer.view(pose, camera, config.image_size, config.supersampling)
                given = split != "train" or index in labelled
                _write_view(folder, split, f"{index:04d}", view, pose, camera, given)
                progress.advance(task)
    CLASSES.save(folder / "classes.json")
    facts = {
        "metres_per_unit": METRES_PER_UNIT,
        "depth": "distance along the ray in scene units, inf for sky",
        "labelled_views": [f"{index:04d}" for index in sorted(labelled)],
        "sun_direction": [round(float(value), 6) for value in renderer.sun],
    }
    (folder / RECORD).write_text(json.dumps({**record, **facts}, indent=1) + "\n")


def _write_view(
    folder: Path, split: str, stem: str, view: View, pose: np.ndarray, camera: np.ndarray, labelled: bool
) -> None:
    scaled = pose.copy()
    scaled[:3, 3] /= METRES_PER_UNIT
    _write_png(folder / split / "rgb" / f"{stem}.png", view.rgb)
    _write_matrix(folder / split / "pose" / f"{stem}.txt", scaled)
    _write_matrix(folder / split / "intrinsics" / f"{stem}.txt", camera)
    if labelled:
        _write_png(folder / split / "label" / f"{stem}.png", view.label)
    if split == "train":
        _write_png(folder / "truth" / split / "label" / f"{stem}.png", view.label)
    depth = folder / "truth" / split / "depth" / f"{stem}.npy"
    depth.parent.mkdir(parents=True, exist_ok=True)
    np.save(depth, (view.depth / METRES_PER_UNIT).astype(np.float32))


def _write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG", compress_level=6)


def _write_matrix(path: Path, matrix: np.ndarray) -> None:
    """One line of 16 numbers, row by row, with all their digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(repr(float(value)) for value in matrix.ravel()) + "\n")
