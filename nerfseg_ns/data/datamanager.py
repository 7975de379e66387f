"""nerfstudio's data manager, with label maps, the stages and the observed colour of each ray."""

from dataclasses import dataclass, field
from typing import Dict, Tuple, Type

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.utils.rich_utils import CONSOLE

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.data.pixel_sampler import StagedPixelSamplerConfig
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.training.stages import Stage

OBSERVED_RGB = "observed_rgb"
"""Key in `RayBundle.metadata` of the photo's own colour at each ray."""

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


class LabelledDataManager(VanillaDataManager[LabelledDataset]):
    """Serves pixels of all photos in stage 1 and of labelled pixels in stage 2, both with the photo's colour.

    Args:
        config: of the data manager.
        device: where the batches go; it decides the number of rays where the config leaves it open.
        **kwargs: as for nerfstudio's `VanillaDataManager`.
    """

    config: LabelledDataManagerConfig

    def __init__(self, config: LabelledDataManagerConfig, device: str = "cpu", **kwargs) -> None:
        if config.train_num_rays_per_batch == 0:
            config.train_num_rays_per_batch = RAYS_PER_BATCH.get(torch.device(device).type, RAYS_PER_BATCH["cpu"])
            if kwargs.get("test_mode", "val") == "val":
                CONSOLE.log(f"{config.train_num_rays_per_batch} rays a step on {device}.")
        super().__init__(config, device=device, **kwargs)

    def set_stage(self, stage: Stage) -> None:
        """Draws pixels as the stage needs them from now on."""
        for sampler in (self.train_pixel_sampler, self.eval_pixel_sampler):
            if sampler is not None:
                sampler.stage = stage

    def next_train(self, step: int) -> Tuple[RayBundle, Dict]:
        return _with_observed_rgb(*super().next_train(step))

    def next_eval(self, step: int) -> Tuple[RayBundle, Dict]:
        return _with_observed_rgb(*super().next_eval(step))


def _with_observed_rgb(ray_bundle: RayBundle, batch: Dict) -> Tuple[RayBundle, Dict]:
    ray_bundle.metadata[OBSERVED_RGB] = batch["image"][..., :3].to(ray_bundle.origins.device)
    return ray_bundle, batch
