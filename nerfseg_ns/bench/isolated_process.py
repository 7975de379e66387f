"""One session measured in a process of its own, so that memory peaks and start-ups do not mix."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

import torch

from nerfseg_ns.bench.memory import PeakMemory
from nerfseg_ns.bench.variants import variant_config
from nerfseg_ns.console.quiet import quiet
from nerfseg_ns.console.warning_filters import filter_warnings
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.runs.session import Session

PRELOADED = [__name__, "torch._dynamo", "torchmetrics.functional.image"]
"""Loaded once for all processes; the last two by the first step of every training."""


@dataclass
class Task:
    """What to measure."""

    variant: str
    scene: Path
    folder: Path
    """For what a run writes; nothing is kept."""
    rays: int
    stages: bool = True
    """Train and render; otherwise the start-up alone is measured."""
    steps: int = 0
    """Steps of each stage that are timed after its first one."""
    trained: Optional[Path] = None
    """Run whose geometry is taken over before stage 2."""
    map_size: int = 0
    """Width and height of the map that is rendered, pixels; 0 renders none."""
    map_stride: int = 1
    threads: int = 1
    """Of torch."""


def measure_alone(task: Task) -> Dict[str, list[float]]:
    """Measures in a new process, forked from one that has the libraries loaded, where the system knows that.

    Returns:
        Values by figure: `start_up`, `stage1_first`, `stage1_step`, `stage2_first`, `stage2_step` and `map` in seconds,
        `memory_PHASE` and on a GPU `gpu_memory_PHASE` in bytes. Nothing where the system ended the process: out of
        memory.
    """
    fork_server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if fork_server else "spawn")
    if fork_server:
        context.set_forkserver_preload(PRELOADED)
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_measure, task).result()
    except BrokenProcessPool:
        return {}


def _measure(task: Task) -> Dict[str, list[float]]:
    filter_warnings()
    torch.set_num_threads(task.threads)
    config = variant_config(task.variant, task.scene, task.folder, task.rays)
    memory = PeakMemory(config.machine.device_type)
    session = Session(config)
    memory.finish("start_up")
    found = {"start_up": [session.start_up]}
    if task.stages:
        with quiet():
            found.update(_measure_stages(session, task, memory))
    return {**found, **{name: [value] for name, value in memory.table.items()}}


def _measure_stages(session: Session, task: Task, memory: PeakMemory) -> Dict[str, list[float]]:
    found = {}
    for stage, name in ((Stage.IMPLICIT, "stage1"), (Stage.SEMANTIC, "stage2")):
        if stage is Stage.SEMANTIC and task.trained is not None:
            session.load(task.trained, labels=False)
        step = lambda stage=stage: session.run_stage(stage)  # noqa: E731
        found[f"{name}_first"] = [seconds_of(step, session.device)[0]]
        found[f"{name}_step"] = [seconds_of(step, session.device)[0] for _ in range(task.steps)]
        memory.finish(name)
    if task.map_size:
        camera = session.test_camera(task.map_size)
        seconds, _ = seconds_of(lambda: session.render_labels(camera, task.map_stride), session.device)
        found["map"] = [seconds * task.map_stride**2]
        memory.finish("map")
    return found
