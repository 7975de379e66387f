"""The staged training callback: before every step, everything that depends on the stage is brought into line."""

from pathlib import Path
from typing import List, Optional

from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import Trainer
from nerfstudio.utils import comms, writer

from nerfseg_ns.core.stage import SEMANTIC_GROUP, Stage
from nerfseg_ns.training.stages import StageScheduleConfig


def staged_callback(
    pipeline, schedule: StageScheduleConfig, attributes: TrainingCallbackAttributes
) -> TrainingCallback:
    """The one callback of the two stages.

    It runs before every step and sets, from the step alone, the stage of the pipeline and the learning rates. Running
    it twice changes nothing, and a resumed run needs no state of it.

    Args:
        pipeline: its `set_step(step)` moves model and data manager to the step's stage, its `fit_to_scene(folders)`
            readies the geometry for stage 1, its `ready_labels()` the batches for stage 2; nothing happens the second
            time.
        schedule: lengths and learning rates.
        attributes: of the trainer; the optimizers are taken from it.
    """

    folders = _run_folders(attributes.trainer) if comms.is_main_process() else []

    def enter_step(step: int) -> None:
        pipeline.set_step(step)
        pipeline.fit_to_scene(folders)
        pipeline.ready_labels()
        set_learning_rates(attributes.optimizers, schedule, step)

    return TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], enter_step)


def _run_folders(trainer: Optional[Trainer]) -> List[Path]:
    """The run's, and that of the run that it goes on with."""
    if trainer is None:
        return []
    earlier = trainer.config.load_dir
    return [trainer.base_dir] if earlier is None else [trainer.base_dir, Path(earlier).parent]


def set_learning_rates(optimizers: Optional[Optimizers], schedule: StageScheduleConfig, step: int) -> None:
    """Sets the learning rates of the groups that learn in the step's stage; the others' are 0."""
    if optimizers is None:
        return
    factor, stage = schedule.learning_rate_factor(step), schedule.stage_at(step)
    for name, optimizer in optimizers.optimizers.items():
        learns = (name == SEMANTIC_GROUP) == (stage is Stage.SEMANTIC)
        rate = optimizers.config[name]["optimizer"].lr * factor if learns else 0.0
        for group in optimizer.param_groups:
            group["lr"] = rate
        if writer.is_initialized():
            writer.put_scalar(name=f"learning_rate/{name}", scalar=rate, step=step)
