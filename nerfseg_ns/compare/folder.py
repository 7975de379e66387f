"""The comparison's folder: where its files lie, which jobs are finished in it, and whether it may be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional

from nerfseg_ns.compare.plan import PlannedJob
from nerfseg_ns.core.files import write_text
from nerfseg_ns.errors import UserError

GENERATOR = "nerfseg compare"
VERSION = 1
"""Counts up when the form of result.json changes, or what a score means."""
RESULT = "result.json"
LOG = "log.txt"
UNLABELLED = "unlabelled"
"""Folder, in a job's, of the label maps of unlabelled training photos."""
PROPAGATED = "propagated"
"""Prefix of the scores on these photos."""

Result = Dict[str, Any]


class CompareFolder:
    """Paths of all that the comparison leaves.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser().resolve()
        self.record = self.root / "compare.json"
        self.tables = self.root / "compare.md"
        self.values = self.root / "compare.csv"
        self.figure = self.root / "compare.png"

    def sheet(self, scene: str) -> Path:
        """The picture of a scene's predictions."""
        return self.root / scene / "predictions.png"

    def of(self, job: PlannedJob) -> Path:
        """Folder of a job."""
        return self.root / job.name

    def log(self, job: PlannedJob) -> Path:
        """What a job's process prints."""
        return self.of(job) / LOG

    def result(self, job: PlannedJob) -> Optional[Result]:
        """What a job found; None if it is not finished, or was done with other options or on other files."""
        result = read_result(self.of(job))
        if result is None or result.get("version") != VERSION or result.get("digest") != job.digest:
            return None
        return result if result["maps_all"] or not job.maps_all else None

    def prepare(self) -> None:
        """Makes the folder ready.

        Raises:
            UserError: it holds something else.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"The comparison's folder {self.root} is a file; give another one with --output-dir.")
        if not self.record.exists() and self.root.exists() and any(self.root.iterdir()):
            raise UserError(
                f"The comparison was to be written to {self.root}, but there is something else already; give another "
                "folder with --output-dir."
            )
        self.root.mkdir(parents=True, exist_ok=True)

    def write_record(self, content: Dict[str, Any]) -> None:
        """Writes compare.json, whole or not at all."""
        record = {"generator": GENERATOR, "version": VERSION, **content}
        write_text(self.record, json.dumps(record, indent=1) + "\n")


def read_result(folder: Path) -> Optional[Result]:
    """What the job of a folder found; None if it is not finished."""
    try:
        return json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
