"""The trained runs that the methods are measured on: what they leave out depends on what was learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from nerfseg_ns.bench.config import BenchConfig
from nerfseg_ns.bench.quality import Watched, fit_into, train_run
from nerfseg_ns.bench.scenes import thin_labels
from nerfseg_ns.bench.variants import variant_config
from nerfseg_ns.training.checkpoints import find_checkpoint

NERFSEG_RAYS = 128
"""Rays of a step where nerfseg is trained for a short time only: more steps in it."""
NERFSEG_LABELS = 512
"""Labelled pixels, about, that are readied for that: the time is for steps."""


@dataclass
class TrainedRun:
    """A run to measure on."""

    folder: Path
    origin: str
    """Where it is from, in words."""


def trained_fast(config: BenchConfig, town: Path, root: Path, watched: list[Watched]) -> TrainedRun:
    """The run of nerfseg-fast: given, of the quality part, or trained now.

    Args:
        config: of the bench.
        town: to train on.
        root: folder of the bench, which keeps the run.
        watched: what the quality part trained.
    """
    found = _given_or_watched("nerfseg-fast", config.fast_run, config, watched)
    if found is not None:
        return found
    run = variant_config("nerfseg-fast", town, root, config.rays)
    run.pipeline.stages.set_lengths(config.implicit_steps, config.semantic_steps)
    return TrainedRun(train_run(run), f"trained here for {run.pipeline.stages.total_steps} steps")


def trained_nerfseg(config: BenchConfig, town: Path, root: Path, work: Path, watched: list[Watched]) -> TrainedRun:
    """The run of nerfseg: given, of the quality part, or trained now for a short time.

    Args:
        config: of the bench.
        town: to train on.
        root: folder of the bench, which keeps the run.
        work: folder for what is not kept.
        watched: what the quality part trained.
    """
    found = _given_or_watched("nerfseg", config.nerfseg_run, config, watched)
    if found is not None:
        return found
    scene = thin_labels(town, work / "labels-to-train-nerfseg", min(NERFSEG_LABELS, config.nerfseg_labels))
    run = variant_config("nerfseg", scene, root, min(NERFSEG_RAYS, config.rays))
    fit_into(run, config.nerfseg_seconds)
    steps = run.pipeline.stages.total_steps
    return TrainedRun(train_run(run), f"trained here for about {config.nerfseg_seconds:.0f} s, {steps} small steps")


def _given_or_watched(
    variant: str, given: Optional[Path], config: BenchConfig, watched: list[Watched]
) -> Optional[TrainedRun]:
    if given is not None:
        return TrainedRun(find_checkpoint(given), f"of {given}")
    for training in watched:
        if (training.variant, training.seed) == (variant, config.town.seed):
            return TrainedRun(Path(training.folder), "trained here in the quality part")
    return None
