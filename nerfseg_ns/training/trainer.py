"""nerfstudio's trainer, run to the end of the two stages, from wherever it starts."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Literal, Optional, Tuple, Type

from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils import comms
from nerfstudio.utils.decorators import check_viewer_enabled
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer import Viewer
from torch import Tensor

from nerfseg_ns.core.stage import LABEL_GROUPS
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import FILE_NAME, METADATA_KEY
from nerfseg_ns.training.checkpoints import find_checkpoint, read_checkpoint, require_finished_stage1
from nerfseg_ns.training.freed_memory import keep_freed_memory
from nerfseg_ns.training.nan_checks import CHECK_EVERY, require_finite_losses, require_finite_parameters


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

    nerfstudio 1.1.5 takes `max_num_iterations` as the steps still to come; here it is the step to stop at. With the
    viewer on, the labels can be read anew at any time: stage 2 then begins again on the scene as it is learnt.
    """

    config: StagedTrainerConfig

    def __init__(self, config: StagedTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        self.last_step = config.max_num_iterations or config.pipeline.stages.total_steps
        config.max_num_iterations = self.last_step
        self._new_labels = threading.Event()
        if not comms.is_main_process():  # nerfstudio starts a viewer on every machine, and fails on all but the first
            config.vis = config.vis.removeprefix("viewer").removeprefix("_legacy").removeprefix("+")
        super().__init__(config, local_rank, world_size)

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        if self.config.machine.device_type == "cpu":
            keep_freed_memory()
        super().setup(test_mode)
        georeference = self.pipeline.datamanager.train_dataparser_outputs.metadata.get(METADATA_KEY)
        if georeference is not None and self.local_rank == 0:
            georeference.save(self.base_dir / FILE_NAME)
        if self.world_size == 1:  # other processes would have to read the same labels before the same step
            self.pipeline.model.viewer_labels.offer(self.learn_labels_again)

    def train(self) -> None:
        if self._start_step >= self.last_step:
            CONSOLE.print(
                f"[yellow]Nothing left to train: the checkpoint is at step {self._start_step - 1} and training ends "
                f"with step {self.last_step - 1}. Give pipeline.stages.semantic-steps a larger number to go on."
            )
            return
        # In nerfstudio, processes that all miss the folder fail over each other.
        self.base_dir.mkdir(parents=True, exist_ok=True)
        self.step = self._start_step
        while True:
            self._train_from(self._serve_wish() if self._new_labels.is_set() else self.step)
            if not self._new_labels.is_set():
                return

    def _train_from(self, step: int) -> None:
        """Trains to the last step; returns before it if new labels are wanted, and else waits with the viewer on."""
        self._start_step = self.step = step
        self.config.max_num_iterations = self.last_step - step
        if step >= self.last_step:
            self._train_complete_viewer()
            return
        if self.training_state == "completed":
            self.training_state = "training"
        super().train()

    def train_iteration(self, step: int) -> Tuple[Tensor, Dict[str, Tensor], Dict[str, Tensor]]:
        loss, losses, metrics = super().train_iteration(step)
        if step % CHECK_EVERY == 0 and not self.mixed_precision:  # which leaves out steps whose numbers overflow
            require_finite_losses(losses, step)
        return loss, losses, metrics

    def save_checkpoint(self, step: int) -> None:
        require_finite_parameters(self.pipeline.model.named_parameters(), step)
        super().save_checkpoint(step)

    def learn_labels_again(self) -> None:
        """Has the labels read anew, and stage 2 begun anew where it had begun. Returns at once; for any thread."""
        self._new_labels.set()
        self.stop_training = True  # ends a pause too

    def take_new_labels(self) -> None:
        """Reads the labels anew and unlearns the old ones, between two steps.

        Raises:
            UserError: the new ones are no good; the old ones stay.
        """
        manager = self.pipeline.read_labels_again()
        with self.train_lock:
            self.pipeline.take_labels(manager)
            for group in LABEL_GROUPS & self.pipeline.get_param_groups().keys():
                self._restart_optimizer(group)

    def _serve_wish(self) -> int:
        """Takes new labels, or tells why not.

        Returns:
            The step to train next.
        """
        button = self.pipeline.model.viewer_labels
        next_step = self.last_step if self.training_state == "completed" else self.step
        self._new_labels.clear()
        try:
            self.take_new_labels()
        except UserError as error:
            refusal = f"The new labels cannot be used; the old ones stay. {error}"
            button.tell(refusal)
            CONSOLE.print(refusal, style="yellow", markup=False)
            return next_step
        description = self.pipeline.datamanager.describe_labels()
        button.tell(description)
        CONSOLE.log(description)
        return min(next_step, self.config.pipeline.stages.implicit_steps)

    def _restart_optimizer(self, group: str) -> None:
        """Gives a parameter group whose parameters are others now an optimizer of its own."""
        fresh = Optimizers(self.config.optimizers, {group: self.pipeline.get_param_groups()[group]})
        for name in ("optimizers", "schedulers", "parameters"):
            getattr(self.optimizers, name).update(getattr(fresh, name))

    def _update_viewer_state(self, step: int) -> None:
        super()._update_viewer_state(step)
        self.stop_training |= self._new_labels.is_set()  # nerfstudio forgets a stop that comes before its first step

    def _after_train(self) -> None:
        if self._new_labels.is_set():
            return
        self.pipeline.set_step(self.step, is_done=True)  # so that the viewer says 100 %
        super()._after_train()

    @check_viewer_enabled
    def _init_viewer_state(self) -> None:
        if not hasattr(self.viewer_state, "camera_handles"):  # once is enough: new labels move no camera
            super()._init_viewer_state()
        self.viewer_state.last_step = 0  # it renders anew when the steps since then are many enough

    @check_viewer_enabled
    def _train_complete_viewer(self) -> None:
        """Keeps the viewer up, as nerfstudio's does, until new labels are wanted."""
        self.training_state = "completed"
        self.viewer_state.training_complete()
        if isinstance(self.viewer_state, Viewer):
            self.viewer_state._trigger_rerender()  # what it shows is some steps old
        CONSOLE.print("Use ctrl+c to quit", justify="center")
        while not self._new_labels.wait(timeout=0.5):
            pass

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
