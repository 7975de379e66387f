"""Rendered rays of noise, and what stage 2 loses on them."""

from __future__ import annotations

import torch

from nerfseg_ns.geometry.base import RaySegment, RenderedLevel
from nerfseg_ns.semantics.semantic_stage import SemanticStage


def rendered_levels(levels: int = 2, segments: int = 2, rays: int = 6, samples: int = 9, dim: int = 8) -> list:
    """Rendered levels of noise."""

    def segment() -> RaySegment:
        weights = torch.rand(rays, samples, 1).softmax(dim=1)
        return RaySegment(
            features=torch.randn(rays, samples, dim),
            positions=torch.rand(rays, samples, 3) * 2 - 1,
            weights=weights,
            transmittance=torch.rand(rays, 1),
        )

    def level() -> RenderedLevel:
        return RenderedLevel(
            torch.rand(rays, 3), torch.rand(rays, 1), torch.rand(rays, 1), [segment() for _ in range(segments)]
        )

    return [level() for _ in range(levels)]


def losses_of(stage: SemanticStage, levels: list, color: torch.Tensor, labels: torch.Tensor) -> dict:
    """The losses of a training step on these rays."""
    return stage.get_losses(stage.get_logits(stage.choose_samples(levels), color), labels)
