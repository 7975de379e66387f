"""A trainer in this process, stepped and rendered by hand."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from nerfstudio.utils import writer
from torch import Tensor

from nerfseg_ns.console.quiet import quiet
from nerfseg_ns.console.timed_lines import say_timed
from nerfseg_ns.core.seeds import seed_everything
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data.ray_cache import RayCache
from nerfseg_ns.errors import UserError
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.semantics.outputs import LOGITS
from nerfseg_ns.training.checkpoints import find_checkpoint, read_checkpoint
from nerfseg_ns.training.trainer import StagedTrainer, StagedTrainerConfig


class Session:
    """A run that is set up to its first step; its test views are the evaluation's.

    Args:
        config: of the run.

    Attributes:
        start_up: seconds from the config to the first step: photos and labels loaded, networks made, the geometry
            shown the photos.
    """

    def __init__(self, config: StagedTrainerConfig) -> None:
        self.config = config
        self.device = config.machine.device_type
        seed_everything(config.machine.seed)
        self.start_up, self.trainer = seconds_of(self._set_up, self.device)
        self.model = self.trainer.pipeline.model

    def _set_up(self) -> StagedTrainer:
        with quiet():
            trainer = self.config.setup(local_rank=0, world_size=1)
            trainer.setup(test_mode="test")
            _run_callbacks(trainer, trainer._start_step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        return trainer

    def load(self, run: Path, labels: bool = True) -> None:
        """Takes over a trained run.

        Args:
            run: its folder, config.yml or checkpoint.
            labels: take over stage 2 too; it must have the same classes.

        Raises:
            UserError: there is no checkpoint, or it is of something else.
        """
        checkpoint = find_checkpoint(run)
        state = read_checkpoint(checkpoint)
        if not labels:
            self.trainer.pipeline.load_stage1(state, checkpoint)
            return
        try:
            self.trainer.pipeline.load_pipeline(state["pipeline"], state["step"])
        except RuntimeError as error:
            raise UserError(
                f"The run in {checkpoint} does not fit what is measured; give one of the same method at its "
                f"defaults, on the built-in town.\n{error}"
            ) from error

    def save(self, step: int) -> Path:
        """Writes the run, trained to the end of a step, as ns-train does. Returns its folder."""
        with quiet():
            self.config.save_config()
            self.trainer.save_checkpoint(step)
        return self.trainer.base_dir

    @property
    def kept_bytes(self) -> int:
        """Memory of the labelled rays that stage 2 keeps ready; 0 before its first step, or where it keeps none."""
        batches = self.trainer.pipeline.datamanager.semantic_batches
        return batches.rays.kept.num_bytes if batches is not None and isinstance(batches.rays, RayCache) else 0

    def run_step(self, step: int) -> None:
        """Runs a training step as the training loop does."""
        self.trainer.pipeline.train()
        _run_callbacks(self.trainer, step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        self.trainer.train_iteration(step)
        _run_callbacks(self.trainer, step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
        writer.EVENT_STORAGE.clear()  # what nerfstudio notes in each step is for writers, of which there are none

    def run_to(self, end: int) -> None:
        """Runs the training steps from the first one, or from the one after what was taken over, until before `end`."""
        start = self.trainer._start_step
        for step in range(start, end):
            with quiet():
                self.run_step(step)
            done, length = step + 1 - start, end - start
            if 10 * done // length > 10 * (done - 1) // length:
                say_timed(f"  step {done} of {length}")

    def run_stage(self, stage: Stage) -> None:
        """Runs a step in the middle of a stage."""
        self.run_step(self.step_of(stage))

    def step_of(self, stage: Stage) -> int:
        """The step in the middle of a stage."""
        stages = self.config.pipeline.stages
        if stage is Stage.IMPLICIT:
            return stages.implicit_steps // 2
        return stages.implicit_steps + stages.semantic_steps // 2

    def test_camera(self, size: int) -> Cameras:
        """The first test view's camera with so many pixels along its longer side."""
        camera = deepcopy(self.trainer.pipeline.datamanager.eval_dataset.cameras[0:1])
        camera.rescale_output_resolution(size / max(int(camera.width), int(camera.height)))
        return camera

    def render_labels(self, camera: Cameras, stride: int = 1) -> Tensor:
        """Renders a view as the commands do, in stage 2, with every `stride`-th pixel both ways.

        Returns:
            Class indices [height, width].
        """
        pipeline = self.trainer.pipeline
        if self.model.stage is not Stage.SEMANTIC:
            pipeline.set_step(self.step_of(Stage.SEMANTIC))
        pipeline.eval()
        rays = camera.to(pipeline.device).generate_rays(camera_indices=0, keep_shape=True)[::stride, ::stride]
        return self.model.get_outputs_for_camera_ray_bundle(rays)[LOGITS].argmax(dim=-1)


def _run_callbacks(trainer: StagedTrainer, step: int, location: TrainingCallbackLocation) -> None:
    for callback in trainer.callbacks:
        callback.run_callback_at_location(step, location=location)
