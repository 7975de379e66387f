"""Checkpoints of earlier runs: where they are, what is in them, whether stage 1 is finished in them."""

import pickle
from pathlib import Path
from typing import Any, Dict

import torch
import yaml

from nerfseg_ns.errors import UserError


def find_checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run.

    Args:
        run: a checkpoint, a run's config.yml, its folder or its folder of checkpoints.

    Raises:
        UserError: there is none.
    """
    if run.suffix == ".ckpt" and run.is_file():
        return run
    folder = run.parent if run.is_file() else run
    checkpoints = sorted(folder.glob("step-*.ckpt")) or sorted(folder.glob("nerfstudio_models/step-*.ckpt"))
    if not checkpoints:
        raise UserError(
            f"No checkpoint (step-*.ckpt) in {folder} or {folder / 'nerfstudio_models'}. Name the folder or the "
            "config.yml of a run that was trained with nerfseg, as in outputs/SCENE/nerfseg-fast/TIMESTAMP."
        )
    return checkpoints[-1]


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """A checkpoint as nerfstudio's trainer writes it.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        state = torch.load(path, map_location="cpu")
        return {"step": state["step"], "pipeline": state["pipeline"]}
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a checkpoint of a run of nerfseg or nerfseg-fast: {error}") from error


def require_finished_stage1(checkpoint: Path, step: int) -> None:
    """Refuses a checkpoint from within stage 1, going by the config.yml of its run; without one, takes it as it is.

    Args:
        checkpoint: in the run's folder of checkpoints.
        step: that it was written after.

    Raises:
        UserError: stage 1 was not finished.
    """
    config_file = checkpoint.parent.parent / "config.yml"
    if not config_file.is_file():
        return
    try:
        steps = yaml.load(config_file.read_text(), Loader=yaml.Loader).pipeline.stages.implicit_steps
    except (AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{config_file} is not the config of a run of nerfseg or nerfseg-fast: {error}") from error
    if step + 1 < steps:
        raise UserError(
            f"Stage 1 of the run in {config_file.parent} is not finished: {checkpoint.name} is from step {step + 1} of "
            f"{steps}. Finish it first: the command it was trained with, and --load-dir {checkpoint.parent}."
        )
