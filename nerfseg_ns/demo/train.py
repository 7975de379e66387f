"""Trains nerfseg-fast on the town as ns-train would, with a progress bar for each stage."""

from __future__ import annotations

from typing import Callable

from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nerfseg_ns.core.seeds import seed_everything
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.demo.folder import METHOD, RUN, DemoFolder
from nerfseg_ns.method_configs.nerfseg_fast import nerfseg_fast
from nerfseg_ns.runs.in_process import in_process
from nerfseg_ns.training.stages import StageScheduleConfig
from nerfseg_ns.training.trainer import StagedTrainerConfig

DESCRIPTIONS = {Stage.IMPLICIT: "Stage 1, geometry and colors", Stage.SEMANTIC: "Stage 2, labels"}


def training_config(config: DemoConfig, folder: DemoFolder) -> StagedTrainerConfig:
    """nerfseg-fast as it is, on the demo's town; the run lies in the demo's folder under absolute paths."""
    run: StagedTrainerConfig = in_process(nerfseg_fast.config, folder.town, folder.root.parent, folder.root.name, RUN)
    run.vis = "tensorboard"
    run.pipeline.stages.set_lengths(config.implicit_steps, config.semantic_steps)
    assert run.method_name == METHOD and run.get_base_dir() == folder.run
    return run


def train(config: StagedTrainerConfig, on_stage_end: Callable[[Stage], None]) -> None:
    """Trains both stages in this process.

    Args:
        config: of the run; its config.yml is written first.
        on_stage_end: called at the end of each stage.
    """
    config.save_config()
    seed_everything(config.machine.seed)
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=CONSOLE) as progress:
        trainer.callbacks.append(_progress_callback(progress, config.pipeline.stages, on_stage_end))
        trainer.train()
    on_stage_end(Stage.SEMANTIC)


def _progress_callback(
    progress: Progress, stages: StageScheduleConfig, on_stage_end: Callable[[Stage], None]
) -> TrainingCallback:
    lengths = {Stage.IMPLICIT: stages.implicit_steps, Stage.SEMANTIC: stages.semantic_steps}
    tasks = {
        stage: progress.add_task(DESCRIPTIONS[stage], total=length, start=stage is Stage.IMPLICIT)
        for stage, length in lengths.items()
    }

    def after_step(step: int) -> None:
        stage = stages.stage_at(step)
        done, length = stages.progress_at(step)[0] + 1, lengths[stage]
        progress.update(tasks[stage], completed=done)
        if not CONSOLE.is_terminal and done * 10 // length > (done - 1) * 10 // length:  # a bar shows in terminals only
            CONSOLE.print(f"{DESCRIPTIONS[stage]}: {done} of {length} steps")
        if step + 1 == stages.implicit_steps:
            on_stage_end(Stage.IMPLICIT)
            progress.start_task(tasks[Stage.SEMANTIC])

    return TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], after_step)
