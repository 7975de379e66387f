"""What a comparison leaves beside its jobs: every value, tables, a figure, and a sheet of predictions a scene."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Sequence

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.figure import draw
from nerfseg_ns.compare.folder import CompareFolder, Result
from nerfseg_ns.compare.plan import PlannedJob
from nerfseg_ns.compare.results import gather
from nerfseg_ns.compare.scenes import SceneInfo
from nerfseg_ns.compare.sheet import write_sheet
from nerfseg_ns.compare.table import tables, values
from nerfseg_ns.core.files import write_text, write_whole
from nerfseg_ns.measurement.machine import describe_machine


class Report:
    """Writes what a comparison found.

    Args:
        folder: of the comparison.
        scenes: that were compared on.
        jobs: all of them, finished or not.
        config: what was asked for.
    """

    def __init__(
        self,
        folder: CompareFolder,
        scenes: Sequence[SceneInfo],
        jobs: Sequence[PlannedJob],
        config: CompareConfig,
    ) -> None:
        self.folder, self.scenes, self.jobs, self.config = folder, scenes, jobs, config
        self.command = config.command([scene.folder for scene in scenes])

    def write_record(self) -> None:
        """Writes compare.json: the exact options, and what the jobs that are finished found."""
        results = self._results()
        self.folder.write_record(
            {
                "command": self.command,
                "options": _plain(asdict(self.config)),
                "scenes": [_plain(asdict(scene)) for scene in self.scenes],
                "unfinished": [job.name for job in self.jobs if job.name not in results],
                "results": {
                    name: {key: value for key, value in result.items() if key != "confusion"}
                    for name, result in results.items()
                },
            }
        )

    def write(self) -> None:
        """Writes all of it, for the methods that have a finished job; compare.json alone where there is none."""
        self.write_record()
        comparison = gather(self.folder, self.jobs, self.config)
        if not comparison.rows:
            return
        write_text(self.folder.tables, tables(comparison, self._how()))
        write_text(self.folder.values, values(comparison))
        write_whole(self.folder.figure, lambda path: draw(comparison, path))
        for scene in self.scenes:
            write_sheet(self.folder, scene, self.jobs, comparison)

    def _results(self) -> Dict[str, Result]:
        found = {job.name: self.folder.result(job) for job in self.jobs}
        return {name: result for name, result in found.items() if result is not None}

    def _how(self) -> str:
        machines = [result["machine"] for result in self._results().values()]
        versions = dict.fromkeys(f"nerfseg {facts['nerfseg']}, nerfstudio {facts['nerfstudio']}" for facts in machines)
        places = dict.fromkeys(describe_machine(facts) for facts in machines)
        lines = [f"    {self.command}", f"By {' and '.join(versions)}, on {'; and on '.join(places)}."]
        return "\n\n".join(
            [*lines, "compare.json has every value and option; the files of each job are in its folder."]
        )


def _plain(options: Dict[str, Any]) -> Dict[str, Any]:
    """Options as JSON takes them."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
