"""Options of `nerfseg labels-from-map`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.maps.config import require_libraries

FOLDER = "labels-from-map"
"""Of the labels, in the scene, unless another is named."""


@dataclass
class DrawnConfig:
    """What was drawn, and how it becomes labels."""

    polygons: Path
    """GeoPackage, GeoJSON or Shapefile with what was drawn: polygons, lines and points, in any coordinate system. One
    without a coordinate system is taken to be in that of the scene's map (nerfseg map)."""
    load_config: Path = Path("config.yml")
    """config.yml of a run on the scene: its surface says which place each pixel shows."""
    layer: Optional[str] = None
    """Layer to read, where the file has several."""
    field: Optional[str] = None
    """Field that holds the class of each feature, as its name or its index; found by itself where one is called class,
    label, category, name or class_index."""
    output_dir: Optional[Path] = None
    """Folder for the label files; labels-from-map in the scene unless given (in its train/, where it has one), which
    --label-folder labels-from-map then names in a training."""
    photos: int = 0
    """Label only so many photos: those that see most of what was drawn. 0 labels all that see any of it."""
    stroke_width: Optional[float] = None
    """Width of drawn lines and diameter of points: metres, or units of the poses in a scene without georeference. Three
    pixels of the photos unless given."""
    margin: float = 1.0
    """Pixels of the photos on both sides of a border that are left unlabelled: there the surface does not say on which
    side a pixel is. Lines and points have none."""
    overwrite: bool = False
    """Write over label files that are in the folder already. Those that this command wrote, and nobody changed since,
    are replaced without it."""

    def check(self, scene: Optional[Path]) -> None:
        """Checks the options.

        Args:
            scene: folder of the scene, if one is named.

        Raises:
            UserError: one makes no sense.
        """
        problems = ErrorCollector()
        with problems.collect():
            require_libraries("labels-from-map")
        if scene is not None and not scene.exists():
            problems.add(UserError(f"There is no folder {scene}. Name the folder of the scene, or leave it out."))
        if not self.polygons.exists():
            problems.add(UserError(f"There is no file {self.polygons}. Name what was drawn (--polygons)."))
        if not self.load_config.is_file():
            problems.add(UserError(f"There is no file {self.load_config}. Name the config.yml of a trained run."))
        if self.photos < 0:
            problems.add(UserError(f"--photos is {self.photos}; it must be at least 0, which labels all photos."))
        if self.stroke_width is not None and not self.stroke_width > 0:
            problems.add(UserError(f"--stroke-width is {self.stroke_width}; it must be above 0."))
        if not self.margin >= 0:
            problems.add(UserError(f"--margin is {self.margin}; it must be at least 0."))
        if self.output_dir is not None and self.output_dir.exists() and not self.output_dir.is_dir():
            problems.add(UserError(f"{self.output_dir} is a file; give another --output-dir."))
        problems.raise_found()
