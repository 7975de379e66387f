"""nerfstudio's data manager, with label maps, the stages and the observed color of each ray."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional, Tuple, Type, Union

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from nerfstudio.model_components.ray_generators import RayGenerator
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.data.guided_sampler import GuidedPixelSampler
from nerfseg_ns.data.patch_sampler import PatchSampler
from nerfseg_ns.data.photo_cache import PhotoCache
from nerfseg_ns.data.pixel_sampler import StagedPixelSamplerConfig
from nerfseg_ns.data.semantic_batches import SemanticBatches
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.label_maps import LabelMaps
from nerfseg_ns.semantics.batch import SemanticBatch
from nerfseg_ns.semantics.guidance import LABELLED

RAYS_PER_BATCH = {"cpu": 1024, "cuda": 4096}


@dataclass
class LabelledDataManagerConfig(VanillaDataManagerConfig):
    """Config of the data manager of both methods."""

    _target: Type = field(default_factory=lambda: LabelledDataManager)
    dataparser: AnnotatedDataParserUnion = field(default_factory=CarlaMVSDataParserConfig)
    """Where photos, poses and labels come from; carla-mvs-data unless another is named."""
    pixel_sampler: PixelSamplerConfig = field(default_factory=StagedPixelSamplerConfig)
    """How pixels are drawn; leave it, the stages depend on it."""
    train_num_rays_per_batch: int = 0
    """Rays of a training step; 0 takes what suits the device: 1,024 on a CPU, 4,096 on a GPU."""
    eval_num_rays_per_batch: int = 1024
    """Rays of the batch that is evaluated during training."""
    num_labelled: int = 0
    """Labelled training photos whose labels are learnt, evenly chosen; 0 takes all. Set it to see how many labels a
    scene needs: from the first step, where labels guide stage 1."""


class LabelledDataManager(VanillaDataManager[LabelledDataset]):
    """Serves pixels of all photos in stage 1 (more of labelled ones, if they guide it) and labelled ones in stage 2.

    Args:
        config: of the data manager.
        device: where the batches go; it decides the number of rays where the config leaves it open.
        **kwargs: as for nerfstudio's `VanillaDataManager`.

    Attributes:
        semantic_batches: what stage 2 learns from, once it is ready: rays whose geometry is frozen, with all that goes
            with them. Till then its batches are labelled pixels of the photos.
    """

    config: LabelledDataManagerConfig

    def __init__(self, config: LabelledDataManagerConfig, device: str = "cpu", **kwargs) -> None:
        if config.train_num_rays_per_batch == 0:
            config.train_num_rays_per_batch = RAYS_PER_BATCH.get(torch.device(device).type, RAYS_PER_BATCH["cpu"])
            if kwargs.get("test_mode", "val") == "val":
                CONSOLE.log(f"{config.train_num_rays_per_batch} rays a step on {device}.")
        super().__init__(config, device=device, **kwargs)

        self.semantic_batches: Optional[SemanticBatches] = None

    def create_train_dataset(self) -> LabelledDataset:
        outputs = self.train_dataparser_outputs
        maps = outputs.metadata.get("semantics")
        if isinstance(maps, LabelMaps):
            outputs.metadata["semantics"] = maps.keep_labelled(self.config.num_labelled)
        return super().create_train_dataset()

    def create_eval_dataset(self) -> LabelledDataset:
        dataset = super().create_eval_dataset()
        dataset.label_cache = self.train_dataset.label_cache  # photos may be in both
        return dataset

    def setup_train(self) -> None:
        config = self.config
        self.train_image_dataloader = self.iter_train_image_dataloader = self._cache(
            self.train_dataset, config.train_num_images_to_sample_from, config.train_num_times_to_repeat_images
        )
        self.train_pixel_sampler = self._get_pixel_sampler(self.train_dataset, config.train_num_rays_per_batch)
        self.train_ray_generator = RayGenerator(self.train_dataset.cameras.to(self.device))

    def setup_eval(self) -> None:
        config = self.config
        self.eval_image_dataloader = self.iter_eval_image_dataloader = self._cache(
            self.eval_dataset, config.eval_num_images_to_sample_from, config.eval_num_times_to_repeat_images
        )
        self.eval_pixel_sampler = self._get_pixel_sampler(self.eval_dataset, config.eval_num_rays_per_batch)
        self.eval_ray_generator = RayGenerator(self.eval_dataset.cameras.to(self.device))
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(self.eval_dataset, device=self.device)
        self.eval_dataloader = RandIndicesEvalDataloader(self.eval_dataset, device=self.device)

    def _cache(self, dataset: LabelledDataset, num_photos: int, num_repeats: int) -> PhotoCache:
        return PhotoCache(dataset, num_photos, num_repeats, self.device, self.exclude_batch_keys_from_device)

    def set_stage(self, stage: Stage, is_guided: bool = False) -> None:
        """Draws pixels as the stage needs them from now on, in stage 2 from labelled photos if there are any.

        Args:
            stage: to draw for.
            is_guided: the labels take part in stage 1.
        """
        if stage is Stage.IMPLICIT:
            self.semantic_batches = self.train_dataset.exposures = None
        for prefix in ("train", "eval"):
            sampler = getattr(self, f"{prefix}_pixel_sampler")
            if isinstance(sampler, GuidedPixelSampler):
                sampler.is_guided = is_guided and prefix == "train"
            if sampler is None or sampler.stage is stage:
                continue
            sampler.set_stage(stage)
            dataset = getattr(self, f"{prefix}_dataset")
            labelled = dataset.label_maps.labelled if stage is Stage.SEMANTIC else ()
            getattr(self, f"{prefix}_image_dataloader").draw_from(labelled or range(len(dataset)))

    def patch_sampler(self, count: int, size: int) -> PatchSampler:
        """What draws so many patches of labelled photos at a time, for stage 2."""
        sampler = self._get_pixel_sampler(self.train_dataset, count)
        sampler.set_stage(Stage.SEMANTIC)
        return PatchSampler(self.train_dataset, self.iter_train_image_dataloader, sampler, size)

    def describe_labels(self) -> str:
        """What labels there are, in a line."""
        maps = self.train_dataset.label_maps
        return f"Labels of {len(maps.labelled)} of {len(maps.labels)} training photos, {len(maps.classes)} classes."

    def trained_eval_photos(self) -> int:
        """How many of the photos that are evaluated on are training photos too."""
        return len({*self.train_dataset.image_filenames} & {*self.eval_dataset.image_filenames})

    def require_same_poses(self, other: "LabelledDataManager") -> None:
        """Checks that what was learnt of the scene holds for another reading of it.

        Args:
            other: of the same folder, read later.

        Raises:
            UserError: a photo stands elsewhere in it, as after photos were added to the scene.
        """
        before, now = self._poses(), other._poses()
        common = before.keys() & now.keys()
        if not common or any(not torch.equal(before[photo], now[photo]) for photo in common):
            raise UserError(
                f"The photos of {self.config.dataparser.data} have other poses than when training began, as after "
                "photos were added or taken away. Learn the scene anew: end this training and start it again."
            )

    def _poses(self) -> Dict[Path, Float[Tensor, "3 4"]]:
        """Camera-to-world of every photo of both splits."""
        return {
            photo: pose.cpu()
            for dataset in (self.train_dataset, self.eval_dataset)
            for photo, pose in zip(dataset.image_filenames, dataset.cameras.camera_to_worlds)
        }

    def next_train(self, step: int) -> Tuple[Union[RayBundle, SemanticBatch], Dict]:
        if self.semantic_batches is None:
            return self.draw_train()
        self.train_count += 1
        return self.semantic_batches.draw(self.get_train_rays_per_batch(), step)

    def draw_train(self) -> Tuple[RayBundle, Dict]:
        """Pixels of the photos themselves, drawn at random for the present stage."""
        return _with_colors(self.train_dataset, *super().next_train(self.train_count))

    def next_eval(self, step: int) -> Tuple[RayBundle, Dict]:
        return _with_colors(self.eval_dataset, *super().next_eval(step))


def _with_colors(dataset: LabelledDataset, ray_bundle: RayBundle, batch: Dict) -> Tuple[RayBundle, Dict]:
    """Turns the drawn bytes into colors and tells the rays which are labelled."""
    batch["image"] = dataset.colors(batch["image"], batch.get("mask"), batch["indices"][:, 0])
    ray_bundle.metadata[LABELLED] = (batch["semantics"] != IGNORE_INDEX).to(ray_bundle.origins.device)
    return ray_bundle, batch
