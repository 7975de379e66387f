"""The configs that are set side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Tuple

from nerfseg_ns.eye.config import NO_BACKBONE
from nerfseg_ns.method_configs.nerfseg import nerfseg
from nerfseg_ns.method_configs.nerfseg_fast import nerfseg_fast
from nerfseg_ns.runs.in_process import in_process
from nerfseg_ns.training.trainer import StagedTrainerConfig

YARDSTICK = "paper"
METHOD_OF = {
    "paper": "nerfseg",
    "nerfseg": "nerfseg",
    "nerfseg-fast": "nerfseg-fast",
    "nerfseg-fast-plain": "nerfseg-fast",
}
"""The method that each variant is made of."""
PLAIN = {"nerfseg": "paper", "nerfseg-fast": "nerfseg-fast-plain"}
"""The variant of each method that leaves nothing out and keeps nothing."""

_STRAIGHTFORWARD: Dict[Tuple[str, ...], Any] = {
    ("labelled_rays", "max_megabytes"): 0,
    ("model", "semantics", "max_samples"): 0,
    ("model", "semantics", "min_weight"): 0.0,
    ("model", "geometry", "skip_weight"): 0.0,
    ("model", "render_precision"): "float32",
}
"""Fields of the pipeline's config that trade something for speed, with the value that trades nothing."""


def variant_config(variant: str, scene: Path, output_dir: Path, rays: int) -> StagedTrainerConfig:
    """Config of a variant on a scene, for training in this process.

    Args:
        variant: a method, or its straightforward form.
        scene: to learn.
        output_dir: for its run.
        rays: of a training step.
    """
    method = {"nerfseg": nerfseg, "nerfseg-fast": nerfseg_fast}[METHOD_OF[variant]]
    config: StagedTrainerConfig = in_process(method.config, scene, output_dir, "runs", variant)
    config.pipeline.datamanager.train_num_rays_per_batch = rays
    config.pipeline.model.eye.backbone = NO_BACKBONE  # its cost is in photos, not in steps; what is timed is the method
    config.pipeline.model.height.weight = 0.0  # likewise
    if variant in PLAIN.values():
        straightforward(config)
    return config


def straightforward(config: StagedTrainerConfig) -> None:
    """Switches off all that leaves out or keeps part of the computation; fields that a config lacks are skipped."""
    for path, value in _STRAIGHTFORWARD.items():
        owner: Any = config.pipeline
        for name in path[:-1]:
            owner = getattr(owner, name, None)
        if hasattr(owner, path[-1]):
            setattr(owner, path[-1], value)
