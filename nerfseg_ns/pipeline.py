"""nerfstudio's pipeline, with the two stages and the scores of the segmentation."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Sequence, Type

from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE

from nerfseg_ns.console.excepthook import install_excepthook
from nerfseg_ns.core.ffmpeg import ensure_ffmpeg
from nerfseg_ns.core.older_runs import rename_tensors
from nerfseg_ns.core.processes import shared_seed
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data.datamanager import LabelledDataManager, LabelledDataManagerConfig
from nerfseg_ns.data.labelled_pixels import LabelledPixels
from nerfseg_ns.data.patch_sampler import PatchSampler
from nerfseg_ns.data.photo_exposures import PhotoExposures
from nerfseg_ns.data.ray_cache import RayCache, RayCacheConfig, RenderedRays
from nerfseg_ns.data.rendered_patches import PatchRenderer
from nerfseg_ns.data.semantic_batches import RaySource, SemanticBatches
from nerfseg_ns.errors import UserError
from nerfseg_ns.evaluation.shared_views import own_views, put_together
from nerfseg_ns.model import NerfSegModel, NerfSegModelConfig
from nerfseg_ns.training.callback import staged_callback
from nerfseg_ns.training.data_parallel import data_parallel
from nerfseg_ns.training.stages import StageScheduleConfig
from nerfseg_ns.training.teaching import Teacher

STAGE1_PREFIX = "_model.geometry."


@dataclass
class NerfSegPipelineConfig(VanillaPipelineConfig):
    """Config of the pipeline of both methods."""

    _target: Type = field(default_factory=lambda: NerfSegPipeline)
    datamanager: LabelledDataManagerConfig = field(default_factory=LabelledDataManagerConfig)
    """Photos, poses, labels."""
    model: NerfSegModelConfig = field(default_factory=NerfSegModelConfig)
    """Geometry and semantic stage."""
    stages: StageScheduleConfig = field(default_factory=StageScheduleConfig)
    """Lengths and learning rates of the two stages."""
    labelled_rays: RayCacheConfig = field(default_factory=RayCacheConfig)
    """The labelled rays that stage 2 keeps ready."""


class NerfSegPipeline(VanillaPipeline):
    """Keeps model and data manager in the stage of the step, and scores views by one confusion matrix.

    Args:
        config: of the pipeline.
        device: to train on.
        test_mode: which views to evaluate on.
        world_size: processes that train together.
        **kwargs: as for nerfstudio's `VanillaPipeline`.
    """

    config: NerfSegPipelineConfig
    datamanager: LabelledDataManager
    model: NerfSegModel

    def __init__(
        self,
        config: NerfSegPipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        **kwargs,
    ) -> None:
        install_excepthook()
        ensure_ffmpeg()
        super().__init__(config, device, test_mode, **kwargs)  # of one process: nerfstudio's wrapping needs a GPU
        self.world_size = world_size
        self._averaged: Optional[Stage] = None
        self._fitted = False
        self._taught_of: Optional[LabelledDataManager] = None  # whose labels the eye has seen
        self.set_step(0)

    def set_step(self, step: int, is_done: bool = False) -> None:
        """Moves everything to the stage that a step belongs to; doing it twice changes nothing.

        Args:
            step: to train next, or trained last.
            is_done: it is the one trained last.
        """
        stages = self.config.stages
        done, length = stages.progress_at(step)
        self._is_eye_due = done >= min(self.config.model.eye.first_step, length // 4)
        learnt_for = min(step, stages.implicit_steps)  # what changes with the step stands still in stage 2
        self.model.set_stage(stages.stage_at(step), learnt_for, (min(done + is_done, length), length))
        drawn = stages.stage_at(step) if self.training else Stage.IMPLICIT  # ns-export draws from all photos of a run
        self.datamanager.set_stage(drawn, is_guided=self.training and self.model.guidance is not None)
        if self.world_size > 1 and self._averaged is not self.model.stage:
            self._model, self._averaged = data_parallel(self.model), self.model.stage
            self.datamanager.train_pixel_sampler.is_shared = self.datamanager.train_image_dataloader.holds_all

    def fit_to_scene(self, folders: Sequence[Path] = ()) -> None:
        """Before the first step of stage 1, shows the geometry the photos; afterwards does nothing.

        Args:
            folders: of the run, where what took long to find is kept, and others where it may be from before.
        """
        if not self._fitted and self.model.stage is Stage.IMPLICIT:
            self.model.geometry.fit_to_scene(self.datamanager.train_dataset, folders)
            self._fitted = True

    def ready_labels(self) -> None:
        """Before the first step of stage 2, readies the labels for all its steps, and once its own labels have been
        learnt for a while, what the eye teaches; afterwards does nothing."""
        if self.model.stage is Stage.IMPLICIT:
            return
        if self.datamanager.semantic_batches is None:
            if self.model.exposures is not None:
                dataset, rays = self.datamanager.train_dataset, self.datamanager.train_ray_generator
                dataset.exposures = PhotoExposures(dataset.get_data, rays, self.model.render_colors)
            self.datamanager.semantic_batches = SemanticBatches(
                self._labelled_rays(), self._context_patches(), shared_seed()
            )
        if self._is_eye_due and self._taught_of is not self.datamanager:
            Teacher(self.model, self.datamanager, self.config.labelled_rays.rays_per_chunk).ready()
            self._taught_of = self.datamanager

    def _labelled_rays(self) -> RaySource:
        """Rays with the user's labels, kept where there is memory for them."""
        manager, config = self.datamanager, self.config.labelled_rays
        if config.max_megabytes == 0:
            return RenderedRays(self.model.cache_rays, manager.draw_train)
        pixels = LabelledPixels(manager.train_dataset, manager.train_ray_generator)
        kept = RayCache(config, pixels, self.model.cache_rays, manager.draw_train)
        CONSOLE.log(kept.describe())
        return kept

    def _context_patches(self) -> Optional[PatchSampler]:
        """Patches of labelled photos, a share of them as the learnt scene shows them, if the model looks at such."""
        if self.model.color_context is None:
            return None
        manager, config = self.datamanager, self.model.color_context.config
        patches = manager.patch_sampler(config.patches, config.patch_size)
        if config.rendered_share > 0 and config.rendered_pixels > 0:
            renderer = PatchRenderer(
                manager.train_dataset, manager.train_ray_generator, self.model.render_colors, self.model.rays_per_chunk
            )
            patches.rendered = renderer.render_patches(config.rendered_pixels, config.patch_size)
            patches.rendered_share = config.rendered_share
        return patches

    def read_labels_again(self) -> LabelledDataManager:
        """The scene's photos and labels as their files have them now; takes nothing of them yet.

        Raises:
            UserError: something is wrong with them, or the scene is another one now.
        """
        manager = self.config.datamanager.setup(device=self.datamanager.device, test_mode=self.test_mode)
        self.datamanager.require_same_poses(manager)
        return manager

    def take_labels(self, manager: LabelledDataManager) -> None:
        """Goes on with other labels, of other classes too: stage 2 is unlearnt, stage 1 stays as it is.

        Args:
            manager: from `read_labels_again`.
        """
        self.datamanager = manager
        self.model.set_classes(manager.train_dataset.label_maps)

    def load_pipeline(self, loaded_state: Dict[str, Any], step: int) -> None:
        super().load_pipeline(rename_tensors(loaded_state), step)
        self.set_step(step, is_done=True)

    def load_stage1(self, checkpoint: Dict[str, Any], path: Path) -> None:
        """Takes over the geometry of a checkpoint, whatever its classes were.

        Args:
            checkpoint: as nerfstudio's trainer writes it.
            path: where it was read from, for the message.

        Raises:
            UserError: its geometry is another than this run's.
        """
        plain = {key.replace("_model.module.", "_model."): value for key, value in checkpoint["pipeline"].items()}
        plain = rename_tensors(plain)
        state = {key[len(STAGE1_PREFIX) :]: value for key, value in plain.items() if key.startswith(STAGE1_PREFIX)}
        try:
            self.model.geometry.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(
                f"The geometry in {path} is not the one that this run is set up for. Start it with the same method and "
                f"the same pipeline.model.geometry settings as that run (its config.yml has them).\n{error}"
            ) from error

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> List[TrainingCallback]:
        callbacks = super().get_training_callbacks(training_callback_attributes)
        return [staged_callback(self, self.config.stages, training_callback_attributes), *callbacks]

    def get_average_image_metrics(
        self,
        data_loader: FixedIndicesEvalDataloader,
        image_prefix: str,
        step: Optional[int] = None,
        output_path: Optional[Path] = None,
        get_std: bool = False,
    ) -> Dict[str, float]:
        """As nerfstudio's; processes that train together share the views, unless images or deviations are asked for."""
        share = data_loader if get_std or output_path is not None else own_views(data_loader)
        means = super().get_average_image_metrics(share, image_prefix, step, output_path, get_std)
        if share is data_loader:
            return means
        return put_together(means, len(share.image_indices), self.model.scores, self.model.device)

    def get_average_eval_image_metrics(self, *args, **kwargs) -> Dict[str, Any]:
        if (trained := self.datamanager.trained_eval_photos()) > 0:
            CONSOLE.log(
                f"{trained} of the {len(self.datamanager.eval_dataset)} scored photos were trained on: scores say how "
                "well the run knows these photos, not others (see eval-mode of the dataparser)."
            )
        with self.model.scoring() as scores:
            metrics = super().get_average_eval_image_metrics(*args, **kwargs)
        finite = {key: value for key, value in metrics.items() if math.isfinite(value)}  # one view has no deviation
        return {**finite, **scores.summary()}
