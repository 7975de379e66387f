"""Batches for learning colors and labels together in stage 1: pixels of any photo, and labelled ones."""

from dataclasses import dataclass, field, fields
from typing import Dict, Type

import torch

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data.pixel_sampler import StagedPixelSampler, StagedPixelSamplerConfig
from nerfseg_ns.errors import UserError


@dataclass
class GuidedPixelSamplerConfig(StagedPixelSamplerConfig):
    """Config of the pixel sampler that serves colors and labels in one batch."""

    _target: Type = field(default_factory=lambda: GuidedPixelSampler)
    labelled_share: float = 0.125
    """Share of a batch of stage 1 that is drawn from labelled pixels alone; the rest is drawn from all photos. More
    where labels come out worse than colors. Without guidance (`pipeline.model.guidance.weight`), all is drawn from all
    photos."""


class GuidedPixelSampler(StagedPixelSampler):
    """Draws part of each batch of stage 1 as stage 2 does, if labels take part in it.

    Args:
        config: how much is labelled.
        **kwargs: as for nerfstudio's `PixelSampler`.

    Attributes:
        is_guided: labels take part in stage 1.

    Raises:
        UserError: the share is not between 0 and 1.
    """

    config: GuidedPixelSamplerConfig
    is_guided: bool = False

    def __init__(self, config: GuidedPixelSamplerConfig, **kwargs) -> None:
        super().__init__(config, **kwargs)
        if not 0 <= config.labelled_share < 1:
            raise UserError(
                f"pipeline.datamanager.pixel-sampler.labelled-share is {config.labelled_share}; give a share from 0 to "
                "below 1."
            )
        count = round(config.labelled_share * self.num_rays_per_batch)
        counts = {Stage.IMPLICIT: self.num_rays_per_batch - count, Stage.SEMANTIC: count}
        self._parts = [_sampler(config, stage, count, kwargs) for stage, count in counts.items() if count]

    def set_stage(self, stage: Stage) -> None:
        super().set_stage(stage)
        for part in self._parts:  # lets go of the photos that it drew from
            part.set_stage(part.stage)

    def sample(self, image_batch: Dict) -> Dict:
        if self.stage is Stage.SEMANTIC or not self.is_guided:
            return super().sample(image_batch)
        parts = [part.sample(image_batch) for part in self._parts]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _sampler(config: GuidedPixelSamplerConfig, stage: Stage, count: int, options: Dict) -> StagedPixelSampler:
    """A plain sampler of so many pixels for a stage, with the same settings."""
    shared = {item.name: getattr(config, item.name) for item in fields(StagedPixelSamplerConfig)}
    plain = StagedPixelSamplerConfig(**{**shared, "_target": StagedPixelSampler})
    sampler = plain.setup(**{**options, "num_rays_per_batch": count})
    sampler.set_stage(stage)
    return sampler
