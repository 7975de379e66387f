"""Configs of the trainings that are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, TypeVar

from nerfstudio.engine.trainer import TrainerConfig

from nerfseg_ns.compare.method import TrainingBudget
from nerfseg_ns.compare.methods import Geometry
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.dataparsers.choose import parser_config
from nerfseg_ns.eye.config import NO_BACKBONE
from nerfseg_ns.method_configs.nerfseg import nerfseg
from nerfseg_ns.method_configs.nerfseg_fast import nerfseg_fast
from nerfseg_ns.runs.in_process import in_process
from nerfseg_ns.training.trainer import StagedTrainerConfig

METHOD_CONFIGS: Dict[Geometry, StagedTrainerConfig] = {
    "nerfseg": nerfseg.config,
    "nerfseg-fast": nerfseg_fast.config,
}
"""This project's methods, which lend their geometry to others."""

Config = TypeVar("Config", bound=TrainerConfig)


def run_config(method: Config, scene: ComparedScene, seed: int, folder: Path) -> Config:
    """A method's config for training on a scene in this process.

    Args:
        method: its config, with a `LabelledDataManager`; left as it is.
        scene: with the labels that may be seen.
        seed: of all random numbers.
        folder: for what the run writes, which goes to `folder/METHOD/run`.
    """
    folder = folder.resolve()
    config = in_process(method, scene.folder.resolve(), folder.parent, folder.name, "run")
    manager = config.pipeline.datamanager
    manager.dataparser = parser_config(scene.dataparser, manager.data, {})
    manager.num_labelled = scene.num_labelled
    config.machine.seed = seed
    return config


def method_config(
    geometry: Geometry, scene: ComparedScene, seed: int, budget: TrainingBudget, folder: Path
) -> StagedTrainerConfig:
    """Config of one of this project's methods, with the stages as long as the budget says; for the rest see
    `run_config`."""
    config = run_config(METHOD_CONFIGS[geometry], scene, seed, folder)
    config.pipeline.stages.set_lengths(budget.implicit_steps, budget.semantic_steps)
    config.pipeline.model.eye.backbone = NO_BACKBONE  # only the row named after it has it, and heights with it
    config.pipeline.model.height.weight = 0.0
    return config
