"""Stage 1 alone: learnt once for a scene, then taken over by every method that starts from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict

from nerfseg_ns.compare.fields.run_config import method_config
from nerfseg_ns.compare.method import TrainingBudget
from nerfseg_ns.compare.methods import Geometry
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.core.files import write_text
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.runs.session import Session

FACTS = "stage1.json"
"""File in the run's folder with what is known of its training."""


def train_geometry(scene: ComparedScene, geometry: Geometry, seed: int, budget: TrainingBudget, folder: Path) -> Path:
    """Trains stage 1 of a method to its end, and nothing more.

    Args:
        scene: whose photos are learnt, and the labels where the method lets them guide stage 1.
        geometry: the method.
        seed: of all random numbers.
        budget: with the number of steps.
        folder: for the run.

    Returns:
        The run's folder: a finished stage 1, as `stage1_from` takes it.
    """
    config = method_config(geometry, scene, seed, budget, folder)
    steps = config.pipeline.stages.implicit_steps

    def learn() -> Session:
        session = Session(config)
        session.run_to(steps)
        return session

    seconds, session = seconds_of(learn, config.machine.device_type)
    run = session.save(steps - 1)
    write_text(run / FACTS, json.dumps({"stage1_seconds": seconds}))
    return run


def geometry_facts(run: Path) -> Dict[str, float]:
    """`stage1_seconds` of a run of `train_geometry`, set-up included; nothing of a run that was trained elsewhere."""
    path = run / FACTS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
