"""Options of `nerfseg segment`. Imports nothing heavy, so that the command line can read it at no cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.eye.config import NO_BACKBONE, EyeConfig


@dataclass
class SegmentConfig:
    """What maps the labels, and where they go."""

    output_dir: Path = Path("nerfseg-segment")
    """Folder to write: labels/, confidence/ and overlay/, with files of the photos' names. Must not exist yet, be
    empty, or hold an earlier such result: what is finished in it and still holds is not made again."""
    load_config: Optional[Path] = None
    """config.yml of a finished run of nerfseg or nerfseg-fast on the scene: what the run knows of the scene then counts
    too. Without it, photos are seen one by one, and need no poses."""
    label_folder: str = "labels"
    """Folder of the label files, below the scene's folder."""
    palette: Literal["auto", "carla-mvs-20", "carla-older", "carla-newer", "google-earth"] = "auto"
    """Classes of a scene without a classes.json."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label PNGs encode classes."""
    seed: int = 0
    """Of all that is random."""
    eye: EyeConfig = field(default_factory=EyeConfig)
    """The trained eye; a run has its own, and these options are then not used."""

    def check(self, scene: Optional[Path]) -> None:
        """Checks the options.

        Args:
            scene: folder of the scene, if one is named.

        Raises:
            UserError: options make no sense.
        """
        problems = ErrorCollector()
        if scene is None and self.load_config is None:
            problems.add(UserError("No scene is named; give its folder, or the config.yml of a run (--load-config)."))
        if scene is not None and not scene.is_dir():
            problems.add(UserError(f"There is no folder {scene}. Name the folder that holds images/ and labels/."))
        if scene is not None and self.output_dir.expanduser().resolve() == scene.resolve():
            problems.add(
                UserError(f"{scene} is the scene itself: maps would lie over its labels. Give another --output-dir.")
            )
        if self.load_config is not None and not self.load_config.is_file():
            problems.add(UserError(f"There is no file {self.load_config}. Name the config.yml of a trained run."))
        if self.load_config is None and self.eye.backbone == NO_BACKBONE:
            problems.add(
                UserError("Without an eye (--eye.backbone none) only a run can map labels: give --load-config.")
            )
        with problems.collect():
            self.eye.check()
        problems.raise_found()
