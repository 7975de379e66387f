"""Trained runs, ready to be rendered."""

from __future__ import annotations

from pathlib import Path

import yaml
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.eval_utils import eval_setup

from nerfseg_ns.console.quiet import quiet
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.errors import UserError
from nerfseg_ns.pipeline import NerfSegPipeline, NerfSegPipelineConfig
from nerfseg_ns.training.checkpoints import find_checkpoint, read_checkpoint, require_finished_stage1
from nerfseg_ns.training.trainer import StagedTrainerConfig


def load_run(config_file: Path) -> NerfSegPipeline:
    """Loads a run with the checkpoint beside its config, wherever it was trained.

    Args:
        config_file: its config.yml.

    Raises:
        UserError: it is the config of something else, has no checkpoint, or has not learnt labels yet.
    """
    _require_own_run(config_file)
    checkpoints = find_checkpoint(config_file).parent.resolve()

    def with_its_checkpoints(config: TrainerConfig) -> TrainerConfig:
        config.relative_model_dir = checkpoints
        return config

    with quiet():
        _, pipeline, _, _ = eval_setup(config_file, update_config_callback=with_its_checkpoints)
    if pipeline.model.stage is Stage.IMPLICIT:
        raise UserError(
            f"The run in {config_file.parent} has not learnt labels yet: its stage 1 is not over. Go on with it: the "
            f"command it was trained with, and --load-dir {checkpoints}."
        )
    return pipeline


def load_stage1(config: StagedTrainerConfig) -> NerfSegPipeline:
    """The finished stage 1 of `config.stage1_from`, ready to be rendered.

    Args:
        config: of the method that it was trained with.

    Raises:
        UserError: there is no finished stage 1, or that of another method.
    """
    checkpoint = find_checkpoint(config.stage1_from)
    state = read_checkpoint(checkpoint)
    require_finished_stage1(checkpoint, state["step"])
    with quiet():
        pipeline = config.pipeline.setup(device=config.machine.device_type, test_mode="test")
    pipeline.load_stage1(state, checkpoint)
    pipeline.set_step(config.pipeline.stages.implicit_steps - 1, is_done=True)
    pipeline.eval()
    return pipeline


def _require_own_run(config_file: Path) -> None:
    try:
        config = yaml.load(config_file.read_text(encoding="utf-8"), Loader=yaml.Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{config_file} is not the config.yml of a trained run: {error}") from error
    if not isinstance(getattr(config, "pipeline", None), NerfSegPipelineConfig):
        raise UserError(f"{config_file} is not the config.yml of a run of nerfseg or nerfseg-fast.")
