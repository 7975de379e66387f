"""Batches for learning colours and labels together: pixels of any photo, and labelled ones."""

from dataclasses import dataclass, field
from typing import Dict, Type

import torch

from nerfseg_ns.data.pixel_sampler import StagedPixelSampler, StagedPixelSamplerConfig
from nerfseg_ns.training.stages import Stage


@dataclass
class JointPixelSamplerConfig(StagedPixelSamplerConfig):
    """Config of the pixel sampler that serves colours and labels in one batch."""

    _target: Type = field(default_factory=lambda: JointPixelSampler)
    labelled_share: float = 0.25
    """Share of a batch that is drawn from labelled pixels alone; the rest is drawn from all photos. More where labels
    come out worse than colours."""


class JointPixelSampler(StagedPixelSampler):
    """Draws part of each batch as stage 1 does, and part as stage 2 does.

    Args:
        config: how much is labelled.
        **kwargs: as for nerfstudio's `PixelSampler`.
    """

    config: JointPixelSamplerConfig

    def __init__(self, config: JointPixelSamplerConfig, **kwargs) -> None:
        super().__init__(config, **kwargs)
        count = round(config.labelled_share * self.num_rays_per_batch)
        counts = {Stage.IMPLICIT: self.num_rays_per_batch - count, Stage.SEMANTIC: count}
        plain = StagedPixelSamplerConfig(contrast_share=config.contrast_share)
        self._parts = [_sampler(plain, stage, count, kwargs) for stage, count in counts.items()]

    def sample(self, image_batch: Dict) -> Dict:
        parts = [part.sample(image_batch) for part in self._parts]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _sampler(config: StagedPixelSamplerConfig, stage: Stage, count: int, options: Dict) -> StagedPixelSampler:
    """A sampler of so many pixels for a stage."""
    sampler = config.setup(**{**options, "num_rays_per_batch": count})
    sampler.set_stage(stage)
    return sampler
