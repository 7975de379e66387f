"""Options of the demo. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Optional

import tyro

from nerfseg_ns.errors import UserError
from nerfseg_ns.town.config import TownConfig


@dataclass
class DemoConfig:
    """The whole way on built-in data: town, training, evaluation, label video, report."""

    output_dir: Path = Path("nerfseg-demo")
    """Folder for everything that the demo leaves. Nothing but an unfinished demo may be in it yet."""
    overwrite: bool = False
    """Replace the demo that is in the folder. Files that are not the demo's own are kept."""
    frames: int = 72
    """Frames of the label video, a full turn around the town."""
    implicit_steps: Optional[int] = None
    """Steps of stage 1, the geometry; nerfseg-fast's own number unless given. Fewer only to try the demo out."""
    semantic_steps: Optional[int] = None
    """Steps of stage 2, the labels; nerfseg-fast's own number unless given."""
    town: Annotated[TownConfig, tyro.conf.arg(name="")] = field(default_factory=TownConfig)
    """The town that is shown."""

    def check(self) -> None:
        """Checks the demo's own options; the town checks its own.

        Raises:
            UserError: an option makes no sense.
        """
        for name, value in (
            ("frames", self.frames),
            ("implicit-steps", self.implicit_steps),
            ("semantic-steps", self.semantic_steps),
        ):
            if value is not None and value < 1:
                raise UserError(f"--{name} is {value}; the demo needs at least 1.")
        if self.town.layout != "carla-mvs":
            raise UserError(f"The demo's town is in the Carla-MVS layout; leave out --layout {self.town.layout}.")
