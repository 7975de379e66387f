"""Options of `nerfseg check`. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional


@dataclass
class CheckConfig:
    """How the scene is read and what is left behind. Give what you give to ns-train's dataparser."""

    contact_sheet: Optional[Path] = Path("contact-sheet.png")
    """Picture to write: photos of the scene with their labels blended in. None writes none."""
    label_folder: Optional[str] = None
    """Folder of the label files, if it is not the usual one."""
    labels_data: Optional[Path] = None
    """The stage-2 tree, for Carla-MVS scenes that come as a pair of trees."""
    palette: Literal["auto", "carla-mvs-20", "carla-older", "carla-newer", "google-earth"] = "auto"
    """Classes of a scene without a classes.json."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label PNGs encode classes."""

    def dataparser_options(self) -> dict[str, Any]:
        """What is given for the dataparser, by the names of its config's fields."""
        options = {
            "label_folder": self.label_folder,
            "labels_data": self.labels_data,
            "palette": None if self.palette == "auto" else self.palette,
            "label_encoding": None if self.label_encoding == "auto" else self.label_encoding,
        }
        return {key: value for key, value in options.items() if value is not None}
