"""What a job's process is told: a file in the job's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from nerfseg_ns.compare.folder import UNLABELLED, CompareFolder, read_result
from nerfseg_ns.compare.method import Job, TrainingBudget
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.plan import PlannedJob
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.core.files import write_text

FILE_NAME = "job.json"


@dataclass
class JobFile:
    """A job, as JSON takes it. All folders are absolute."""

    folder: str
    """Of the job."""
    scene: str
    truth: Optional[str]
    """Folder of labels that methods are scored on, where the scene does not hold views out."""
    seed: int
    budget: TrainingBudget
    method: Optional[str]
    geometry: Optional[str]
    labels: int
    maps_all: bool
    stage1: Optional[str]
    """Folder of the job that is taken over from."""
    maps: Optional[str]
    """Folder of the job whose label maps are learnt from."""
    threads: int
    """Of torch."""
    digest: str

    @classmethod
    def of(cls, job: PlannedJob, folder: CompareFolder, threads: int) -> JobFile:
        """A planned job's, to be run with so many threads."""
        stage1, maps = (None if need is None else str(folder.of(need)) for need in (job.stage1, job.maps))
        return cls(
            folder=str(folder.of(job)),
            scene=str(job.scene.folder),
            truth=job.scene.truth and str(job.scene.truth),
            seed=job.seed,
            budget=job.budget,
            method=job.method,
            geometry=job.geometry,
            labels=job.labels,
            maps_all=job.maps_all,
            stage1=stage1,
            maps=maps,
            threads=threads,
            digest=job.digest,
        )

    @property
    def path(self) -> Path:
        """Where it is written."""
        return Path(self.folder) / FILE_NAME

    def save(self) -> None:
        """Writes it."""
        write_text(self.path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> JobFile:
        """Reads it."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "budget": TrainingBudget(**content["budget"])})

    def open_scene(self) -> ComparedScene:
        """The scene with the labels that the method may see."""
        return ComparedScene(Path(self.scene), self.labels, self.truth and Path(self.truth))

    def to_job(self) -> Job:
        """What the method is told."""
        stage1 = None if self.stage1 is None else Path(self.stage1) / read_result(Path(self.stage1))["run"]
        return Job(
            method=self.method,
            info=METHODS[self.method],
            scene=self.open_scene(),
            seed=self.seed,
            budget=self.budget,
            folder=Path(self.folder),
            geometry=stage1,
            maps=None if self.maps is None else Path(self.maps) / UNLABELLED,
        )
