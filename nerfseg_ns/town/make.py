"""Makes a town and writes it to disk, with the truth apart."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nerfseg_ns.core.files import new_folder
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import UserError
from nerfseg_ns.town.camera_faults import FAULTS, take_photo, write_faults
from nerfseg_ns.town.cameras import Pose, intrinsics, lens_distortion, plan_cameras
from nerfseg_ns.town.classes import CLASSES
from nerfseg_ns.town.config import FaultsConfig, TownConfig
from nerfseg_ns.town.layout import build_town
from nerfseg_ns.town.pose_errors import found_poses
from nerfseg_ns.town.render import Renderer
from nerfseg_ns.town.scene_writer import SceneWriter, Shot
from nerfseg_ns.town.truth_map import write_truth_map
from nerfseg_ns.town.write_carla_mvs import CarlaMVSWriter
from nerfseg_ns.town.write_earth_studio import EarthStudioWriter

VERSION = 1
"""Counts up when the same options give other bytes than before."""
RECORD = "town.json"
SMALLEST_LEAF = 0.2
"""Metres."""

_WRITERS: dict[str, type[SceneWriter]] = {"carla-mvs": CarlaMVSWriter, "earth-studio": EarthStudioWriter}
_EARTH_STUDIO_OPTIONS = ("layout", "latitude", "longitude", "altitude")


def make_town(config: TownConfig, output: Path) -> Path:
    """Makes the town and writes it, whole or not at all.

    Args:
        config: What to make.
        output: Folder to write; must not exist, be empty, or hold the finished town of the very same options, which is
            then left as it is.

    Returns:
        The folder.

    Raises:
        UserError: An option makes no sense, or the folder holds something else.
    """
    output = Path(output)
    _check(config)
    record = {"generator": "nerfseg town", "version": VERSION, "config": _options(config)}
    if _is_finished(output, record):
        CONSOLE.print(f"The town of seed {config.seed} is in {output} already.")
        return output
    with new_folder(output) as beside:
        _write_scene(config, record, beside)
    return output


def _options(config: TownConfig) -> dict:
    """The options that a town's bytes depend on."""
    options = asdict(config)
    if config.layout == "carla-mvs":  # its records are older than these options, which do nothing there
        options = {name: value for name, value in options.items() if name not in _EARTH_STUDIO_OPTIONS}
    if not config.easy:
        del options["easy"]
    if not config.real:
        del options["real"], options["faults"]
    return options


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
            raise UserError(f"{name} is {getattr(config, name)}; a town needs at least {minimum}.")
    if config.labelled_views > config.train_views:
        raise UserError(
            f"labelled_views is {config.labelled_views}, but there are only {config.train_views} training views; "
            "ask for fewer labelled views or more training views."
        )
    if not 10 <= config.field_of_view <= 100:
        raise UserError(f"field_of_view is {config.field_of_view} degrees; choose one between 10 and 100.")
    _check_faults(config.faults)
    if config.seed < 0:
        raise UserError(f"seed is {config.seed}; choose one of 0 or more.")
    if config.layout not in _WRITERS:
        raise UserError(f"There is no layout {config.layout!r}; choose among {', '.join(_WRITERS)}.")
    # Near the poles east and north turn within the town; altitudes are those of land.
    if not (abs(config.latitude) <= 89 and abs(config.longitude) <= 180 and -450 <= config.altitude <= 9000):
        raise UserError(
            f"The town cannot be at latitude {config.latitude}, longitude {config.longitude}, altitude "
            f"{config.altitude} m; choose -89 to 89, -180 to 180 degrees and -450 to 9000 m."
        )


def _check_faults(faults: FaultsConfig) -> None:
    for name, value in asdict(faults).items():
        if not 0 <= value < float("inf"):
            raise UserError(f"faults.{name} is {value}; choose 0 (none of it) or more.")
    if 0 < faults.leaf_size < SMALLEST_LEAF:
        raise UserError(
            f"faults.leaf_size is {faults.leaf_size} m, too many leaves; choose {SMALLEST_LEAF} or more, "
            "or 0 for smooth crowns."
        )


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
    raise UserError(
        f"A town was to be written to {output}, but there is something else already (another town, or other files); "
        "give a folder that does not exist, or remove this one."
    )


def make_renderer(config: TownConfig) -> Renderer:
    """What casts rays at the town of the given options."""
    if not config.real:
        return Renderer(build_town(config.seed), config.seed, config.easy)
    town = build_town(config.seed, config.faults.leaf_size, config.faults.groves)
    return Renderer(town, config.seed, config.easy, config.faults.sun_width, config.faults.wind)


def _write_scene(config: TownConfig, record: dict, folder: Path) -> None:
    renderer = make_renderer(config)
    flights = plan_cameras(config)
    found = found_poses(flights, config) if config.real else flights
    writer = _WRITERS[config.layout](config, folder, evenly_spaced_indices(config.train_views, config.labelled_views))
    stems: dict[str, list[str]] = {split: [] for split in flights}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        task = progress.add_task("Rendering the town", total=sum(len(poses) for poses in flights.values()))
        for split, poses in flights.items():
            for pose, written in zip(poses, found[split], strict=True):
                stems[split].append(_write_view(writer, renderer, split, len(stems[split]), pose, written))
                progress.advance(task)
    CLASSES.save(folder / "classes.json")
    if config.real:
        write_faults(folder / FAULTS, config, stems)
    if not write_truth_map(writer, renderer):
        CONSOLE.print("The town's true map (truth/map) is left out: it needs rasterio, of nerfseg\\[maps].")
    facts = {**writer.finish(), "sun_direction": [round(float(value), 6) for value in renderer.sun]}
    (folder / RECORD).write_text(json.dumps({**record, **facts}, indent=1) + "\n")


def _write_view(writer: SceneWriter, renderer: Renderer, split: str, index: int, pose: Pose, found: Pose) -> str:
    config = writer.config
    camera = intrinsics(config)
    view = renderer.view(pose, camera, config.image_size, config.supersampling, lens_distortion(config))
    photo = take_photo(view.color, config, split, index) if config.real else view.rgb
    return writer.write_view(split, index, Shot(photo, found, view, pose, camera))
