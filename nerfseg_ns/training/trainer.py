"""nerfstudio's trainer, run to the end of the two stages, from wherever it starts."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Literal, Optional, Type

import torch
import yaml
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils import comms
from nerfstudio.utils.rich_utils import CONSOLE

from nerfseg_ns.errors import SceneError
from nerfseg_ns.geo.georeference import FILE_NAME, METADATA_KEY


@dataclass
class StagedTrainerConfig(TrainerConfig):
    """Trainer config of both methods."""

    _target: Type = field(default_factory=lambda: StagedTrainer)
    max_num_iterations: Optional[int] = None
    """Leave at None: training ends with stage 2 (see pipeline.stages), also after a resume. A number ends it earlier,
    counted from step 0."""
    stage1_from: Optional[Path] = None
    """A run whose finished stage 1 to start from (its folder, its config.yml or a checkpoint): only stage 2 is trained.
    Set it to give a learnt scene new or more labels. The geometry's settings must be those of that run."""


class StagedTrainer(Trainer):
    """Trains to the last step of stage 2, however often it was interrupted on the way.

    nerfstudio 1.1.5 takes `max_num_iterations` as the steps still to come; here it is the step to stop at.
    """

    config: StagedTrainerConfig

    def __init__(self, config: StagedTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        self.last_step = config.max_num_iterations or config.pipeline.stages.total_steps
        config.max_num_iterations = self.last_step
        if not comms.is_main_process():  # nerfstudio starts a viewer on every machine, and fails on all but the first
            config.vis = config.vis.removeprefix("viewer").removeprefix("_legacy").removeprefix("+")
        super().__init__(config, local_rank, world_size)

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        super().setup(test_mode)
        georeference = self.pipeline.datamanager.train_dataparser_outputs.metadata.get(METADATA_KEY)
        if georeference is not None and self.local_rank == 0:
            georeference.save(self.base_dir / FILE_NAME)

    def train(self) -> None:
        self.config.max_num_iterations = max(0, self.last_step - self._start_step)
        if self.config.max_num_iterations == 0:
            CONSOLE.print(
                f"[yellow]Nothing left to train: the checkpoint is at step {self._start_step - 1} and training ends "
                f"with step {self.last_step - 1}. Give pipeline.stages.semantic-steps a larger number to go on."
            )
            return
        self.step = self._start_step
        super().train()

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        resumes = self.config.load_dir is not None or self.config.load_checkpoint is not None
        if self.config.stage1_from is None or resumes:
            return
        checkpoint = find_checkpoint(self.config.stage1_from)
        state = read_checkpoint(checkpoint)
        require_finished_stage1(checkpoint, state["step"])
        self.pipeline.load_stage1(state, checkpoint)
        self._start_step = self.config.pipeline.stages.implicit_steps
        CONSOLE.print(f"Stage 1 taken from {checkpoint}; training starts with stage 2.")


def find_checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run.

    Args:
        run: a checkpoint, a run's config.yml, its folder or its folder of checkpoints.

    Raises:
        SceneError: there is none.
    """
    if run.suffix == ".ckpt" and run.is_file():
        return run
    folder = run.parent if run.is_file() else run
    checkpoints = sorted(folder.glob("step-*.ckpt")) or sorted(folder.glob("nerfstudio_models/step-*.ckpt"))
    if not checkpoints:
        raise SceneError(
            f"No checkpoint (step-*.ckpt) in {folder} or {folder / 'nerfstudio_models'}. Name the folder or the "
            "config.yml of a run that was trained with nerfseg, as in outputs/SCENE/nerfseg-fast/TIMESTAMP."
        )
    return checkpoints[-1]


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """A checkpoint as nerfstudio's trainer writes it.

    Raises:
        SceneError: it cannot be read, or is something else.
    """
    try:
        state = torch.load(path, map_location="cpu")
        return {"step": state["step"], "pipeline": state["pipeline"]}
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise SceneError(f"{path} is not a checkpoint of a run of nerfseg or nerfseg-fast: {error}") from error


def require_finished_stage1(checkpoint: Path, step: int) -> None:
    """Refuses a checkpoint from within stage 1, going by the config.yml of its run; without one, takes it as it is.

    Args:
        checkpoint: in the run's folder of checkpoints.
        step: that it was written after.

    Raises:
        SceneError: stage 1 was not finished.
    """
    config_file = checkpoint.parent.parent / "config.yml"
    if not config_file.is_file():
        return
    try:
        steps = yaml.load(config_file.read_text(), Loader=yaml.Loader).pipeline.stages.implicit_steps
    except (AttributeError, yaml.YAMLError) as error:
        raise SceneError(f"{config_file} is not the config of a run of nerfseg or nerfseg-fast: {error}") from error
    if step + 1 < steps:
        raise SceneError(
            f"Stage 1 of the run in {config_file.parent} is not finished: {checkpoint.name} is from step {step + 1} of "
            f"{steps}. Finish it first: the command it was trained with, and --load-dir {checkpoint.parent}."
        )
