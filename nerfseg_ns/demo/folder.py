"""The demo's folder: where its files lie, and whether it may be written."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict

from nerfseg_ns.core.files import write_text
from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.errors import UserError

VERSION = 1
"""Counts up when the folder's form changes."""
METHOD = "nerfseg-fast"
RUN = "demo"


class DemoFolder:
    """Paths of all that the demo leaves.

    Args:
        root: the folder; paths are absolute, so that the run's config.yml loads from anywhere.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser().resolve()
        self.record = self.root / "demo.json"
        self.town = self.root / "town"
        self.run = self.root / METHOD / RUN
        self.run_config = self.run / "config.yml"
        self.metrics = self.root / "metrics.json"
        self.report = self.root / "report.html"
        self.pictures = self.root / "pictures"
        self.labels = self.root / "labels"
        self.video = self.root / "labels.mp4"
        self.camera_path = self.root / "camera_path.json"

    def prepare(self, config: DemoConfig) -> bool:
        """Makes the folder ready for a demo, or finds that this very demo is finished in it.

        What an unfinished demo left is removed, but for the town if it is the one that is wanted.

        Args:
            config: of the demo.

        Returns:
            Whether there is anything to do.

        Raises:
            UserError: the folder holds something else, and may not be overwritten.
        """
        wanted, found = _options(config), self._read_record()
        if found is None:
            self._refuse_others_files()
        same = found is not None and found.get("options") == wanted and found.get("version") == VERSION
        if found is not None and found.get("finished") and not config.overwrite:
            if same:
                return False
            raise UserError(
                f"{self.root} holds a demo of other options: {_differences(found.get('options'), wanted)}. Give "
                "another folder with --output-dir, or --overwrite to replace that demo."
            )
        self._clear(keep_town=same and not config.overwrite)
        self._write_record(wanted, finished=False)
        return True

    def finish(self, config: DemoConfig) -> None:
        """Notes that everything is there."""
        self._write_record(_options(config), finished=True)

    def _refuse_others_files(self) -> None:
        if self.root.exists() and any(self.root.iterdir()):
            raise UserError(
                f"The demo was to be written to {self.root}, but there is something else already; give another folder "
                "with --output-dir."
            )

    def _clear(self, keep_town: bool) -> None:
        """Removes what an earlier demo left, and nothing else."""
        for path in (self.run, self.pictures, self.labels, *([] if keep_town else [self.town])):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.metrics, self.report, self.video, self.camera_path):
            path.unlink(missing_ok=True)

    def _read_record(self) -> Dict[str, Any] | None:
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"The demo's folder {self.root} is a file; give another one with --output-dir.")
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("generator") == "nerfseg demo" else None

    def _write_record(self, options: Dict[str, Any], finished: bool) -> None:
        record = {"generator": "nerfseg demo", "version": VERSION, "finished": finished, "options": options}
        write_text(self.record, json.dumps(record, indent=1) + "\n")


def _options(config: DemoConfig) -> Dict[str, Any]:
    """The options that decide what the demo shows, as they come back from JSON."""
    options = {key: value for key, value in asdict(config).items() if key not in ("output_dir", "overwrite", "town")}
    return {**options, **asdict(config.town)}


def _differences(found: Any, wanted: Dict[str, Any]) -> str:
    found = found if isinstance(found, dict) else {}
    names = [name for name in wanted if found.get(name) != wanted[name]]
    texts = [f"{name} was {found.get(name)}, is now {wanted[name]}" for name in names]
    return "; ".join(texts) or "another version of the demo"
