"""The bench's folder and its bench.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict

from nerfseg_ns.core.files import write_text
from nerfseg_ns.errors import UserError
from nerfseg_ns.town.config import TownConfig

GENERATOR = "nerfseg bench"
WORK_PREFIX = ".work-"
"""Of folders for what is not kept."""
VERSION = 1
"""Counts up when the form of bench.json changes."""

Results = Dict[str, Any]


class BenchFolder:
    """Paths of all that the bench leaves.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser().resolve()
        self.results = self.root / "bench.json"
        self.tables = self.root / "bench.md"
        self.figure = self.root / "bench.png"

    def town(self, config: TownConfig) -> Path:
        """Folder of a town."""
        return self.root / "towns" / f"seed-{config.seed}-{config.image_size}px-{config.train_views}-views"

    def prepare(self, overwrite: bool) -> None:
        """Makes the folder ready.

        Raises:
            UserError: it holds a finished bench that is not to be replaced, or something else.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"The bench's folder {self.root} is a file; give another one with --output-dir.")
        if self.results.exists():
            if read_results(self.results).get("finished") and not overwrite:
                raise UserError(
                    f"{self.root} holds a finished bench. Give another folder with --output-dir, or --overwrite to "
                    "replace it."
                )
        elif self.root.exists() and any(self.root.iterdir()):
            raise UserError(
                f"The bench was to be written to {self.root}, but there is something else already; give another folder "
                "with --output-dir."
            )
        self.root.mkdir(parents=True, exist_ok=True)
        for left_over in self.root.glob(f"{WORK_PREFIX}*"):  # of a bench that was ended from outside
            shutil.rmtree(left_over, ignore_errors=True)

    def write_results(self, results: Results) -> None:
        """Writes bench.json, whole or not at all."""
        write_text(self.results, json.dumps({"generator": GENERATOR, "version": VERSION, **results}, indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Reads a bench.json.

    Raises:
        UserError: it is missing or is something else.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {error}. Name the bench.json of an earlier nerfseg bench.") from error
    if not isinstance(results, dict) or results.get("generator") != GENERATOR:
        raise UserError(f"{path} is not the bench.json of a nerfseg bench.")
    if results.get("version") != VERSION:
        raise UserError(
            f"{path} is of another version ({results.get('version')}) of the bench than this one ({VERSION}). Measure "
            "again with this one."
        )
    return results
