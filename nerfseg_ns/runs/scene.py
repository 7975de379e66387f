"""The scene that a run is of."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from nerfseg_ns.errors import UserError
from nerfseg_ns.pipeline import NerfSegPipeline


def scene_of(pipeline: NerfSegPipeline, config_file: Path, scene: Optional[Path] = None) -> Path:
    """What a run was trained on: a scene's folder, or the file that stands for it.

    Args:
        pipeline: of the run.
        config_file: its config.yml, for the message.
        scene: folder that the run must be of, if it is named.

    Raises:
        UserError: the run is of another scene.
    """
    own = Path(pipeline.datamanager.dataparser.config.data).resolve()
    if scene is not None and scene.resolve() not in (own, own.parent):
        raise UserError(f"{config_file} is of a run on {own}, not on {scene}. Leave the scene out.")
    return own
