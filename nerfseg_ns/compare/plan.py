"""Which jobs a comparison consists of, and which of them need which."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Dict, List, Optional, Sequence, Tuple

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.method import TrainingBudget
from nerfseg_ns.compare.methods import GUIDED, MAPS_FROM, METHODS
from nerfseg_ns.compare.scenes import SceneInfo


@dataclass(frozen=True)
class PlannedJob:
    """What one process does: a method on a scene, or the stage 1 that methods share."""

    scene: SceneInfo
    seed: int
    budget: TrainingBudget
    method: Optional[str] = None
    """Its name in METHODS; None for stage 1 of a geometry."""
    geometry: Optional[str] = None
    """Whose stage 1 it is, where it is one."""
    labels: int = 0
    """Labelled photos that the method may see; 0 for all."""
    maps_all: bool = False
    """Maps every unlabelled training photo, not only those whose truth is known."""
    stage1: Optional[PlannedJob] = None
    """Job whose stage 1 is taken over."""
    maps: Optional[PlannedJob] = None
    """Job whose label maps are learnt from."""

    @property
    def needs(self) -> Tuple[PlannedJob, ...]:
        """Jobs that have to be finished before."""
        return tuple(job for job in (self.stage1, self.maps) if job is not None)

    @property
    def name(self) -> str:
        """Tells the job from all others; also the place of its files in the comparison's folder."""
        what = f"{self.geometry}-stage-1" if self.method is None else self.method
        labels = f"-labels-{self.labels}" if self.labels else ""
        return f"{self.scene.name}/{what}-seed-{self.seed}{labels}"

    @property
    def digest(self) -> str:
        """Changes with all that the job's result depends on, but for the code and what else it maps."""
        return sha256(json.dumps(self._options(), sort_keys=True).encode()).hexdigest()

    def _options(self) -> Dict[str, Any]:
        options: Dict[str, Any] = {"seed": self.seed, "budget": asdict(self.budget), "photos": self.scene.photos}
        if self.method is None:
            guided = {"labels": self.labels, "truth": self.scene.labels} if self.geometry in GUIDED else {}
            return {**options, "geometry": self.geometry, **guided}
        info = {key: value for key, value in asdict(METHODS[self.method]).items() if key != "title"}
        needs = [job.digest for job in self.needs]
        return {**options, "info": info, "labels": self.labels, "truth": self.scene.labels, "needs": needs}


def plan_jobs(scenes: Sequence[SceneInfo], config: CompareConfig) -> List[PlannedJob]:
    """All jobs, each after those that it needs.

    Args:
        scenes: to compare on.
        config: what is compared.
    """
    jobs: Dict[str, PlannedJob] = {}
    for scene in scenes:
        for seed in config.seeds:
            for labels in config.labels:
                planner = _Planner(scene, seed, labels, config, jobs)
                for method in config.methods:
                    planner.add_method(method)
    return list(jobs.values())


@dataclass
class _Planner:
    """Plans the jobs on a scene with a seed and a number of labels."""

    scene: SceneInfo
    seed: int
    labels: int
    config: CompareConfig
    jobs: Dict[str, PlannedJob]

    def add_method(self, method: str) -> PlannedJob:
        info = METHODS[method]
        job = PlannedJob(self.scene, self.seed, self._budget(info.kind == "cnn"), method, labels=self.labels)
        if info.needs_geometry:
            job = replace(job, stage1=self._add_stage1(info.geometry))
        if info.extra == "maps":
            job = replace(job, maps=self.add_method(MAPS_FROM))
        if method == MAPS_FROM:
            job = replace(job, maps_all=self._wants_all_maps())
        return self.jobs.setdefault(job.name, job)

    def _wants_all_maps(self) -> bool:
        """Whether maps are learnt from that are not made for their score anyway."""
        learnt_from = any(METHODS[method].extra == "maps" for method in self.config.methods)
        return learnt_from and self.scene.known[self.labels] < self.scene.unlabelled[self.labels]

    def _add_stage1(self, geometry: str) -> PlannedJob:
        budget = TrainingBudget(implicit_steps=self.config.implicit_steps)
        labels = self.labels if geometry in GUIDED else 0
        job = PlannedJob(self.scene, self.seed, budget, geometry=geometry, labels=labels)
        return self.jobs.setdefault(job.name, job)

    def _budget(self, is_cnn: bool) -> TrainingBudget:
        """What the method reads of it, so that the other options do not make it run again."""
        if is_cnn:
            return TrainingBudget(cnn_epochs=self.config.cnn_epochs)
        return TrainingBudget(self.config.implicit_steps, self.config.semantic_steps)
