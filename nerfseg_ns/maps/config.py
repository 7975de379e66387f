"""Options of `nerfseg map`."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from nerfseg_ns.errors import ErrorCollector, UserError

LIBRARIES = ("rasterio", "pyogrio", "shapely", "laspy", "lazrs")


def require_libraries(command: str) -> None:
    """Raises UserError if libraries are missing that a command of nerfseg needs and that are not installed with it."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"nerfseg {command} needs {' and '.join(missing)}: pip install 'nerfseg[maps]' (or, from source, -e "
            "'.[maps]')."
        )


@dataclass
class MapConfig:
    """How a map is made."""

    load_config: Path = Path("config.yml")
    """config.yml of the run."""
    output_dir: Path = Path("nerfseg-map")
    """Folder to write; one that an earlier map is in is written anew."""
    resolution: Optional[float] = None
    """Side of a pixel: metres, or units of the poses in a scene without georeference. That of the photos on the ground
    unless given."""
    crs: Optional[str] = None
    """Projected coordinate system, such as EPSG:32617; the UTM zone of the scene unless given."""
    min_area: Optional[float] = None
    """Polygons smaller than this, in square metres (square units), go to their neighbours; labels.tif keeps them. One
    square metre, or 16 pixels of a map that is not georeferenced, unless given."""
    cloud_spacing: int = 2
    """Pixels from point to point of the cloud; 0 leaves the cloud out."""
    cloud: Optional[Path] = None
    """A cloud of the place, LAS or LAZ, such as OpenDroneMap's or a lidar's: a copy with the map's classes is written
    too. Points off the map's surface stay as they are, and so does everything else in it."""
    las_classes: Optional[Path] = None
    """JSON with codes of the classes in cloud.laz, as {"Roof": 6, "Reed": "vegetation", "Court": 70}. By their names
    unless given: ground 2, vegetation 3 to 5 by height, building 6, water 9, road 11, bridge 17, others from 64 on."""
    max_pixels: int = 400_000_000
    """A map of more pixels is refused: a mistyped resolution fills a disk."""

    def check(self) -> None:
        """Checks the options.

        Raises:
            UserError: one makes no sense.
        """
        problems = ErrorCollector()
        with problems.collect():
            require_libraries("map")
        if not self.load_config.is_file():
            problems.add(UserError(f"There is no file {self.load_config}. Name the config.yml of a trained run."))
        if self.resolution is not None and not self.resolution > 0:
            problems.add(UserError(f"--resolution is {self.resolution}; it must be above 0."))
        if self.min_area is not None and self.min_area < 0:
            problems.add(UserError(f"--min-area is {self.min_area}; it must be at least 0."))
        if self.cloud_spacing < 0:
            problems.add(UserError(f"--cloud-spacing is {self.cloud_spacing}; it must be at least 0."))
        if self.cloud is not None and not self.cloud.is_file():
            problems.add(UserError(f"There is no file {self.cloud}. Name a cloud in a LAS or LAZ file."))
        if self.output_dir.exists() and not self.output_dir.is_dir():
            problems.add(UserError(f"{self.output_dir} is a file; give another --output-dir."))
        problems.raise_found()
