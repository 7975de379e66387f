"""Options of `nerfseg check`. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional


@dataclass
class CheckConfig:
    """How the scene is read and what is left behind. Give what you give to ns-train's dataparser."""

    contact_sheet: Optional[Path] = Path("contact-sheet.png")
    """Picture to write: photos of the scene with their labels blended in. None writes none."""
    label_folder: Optional[str] = None
    """Folder of the label files, if it is not the usual one."""
    labels_data: Optional[Path] = None
    """The stage-2 tree, for Carla-MVS scenes that come as a pair of trees."""
    palette: str = "auto"
    """Classes of a scene without a classes.json."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label PNGs encode classes."""
