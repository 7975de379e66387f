"""Options of `nerfseg photos`. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from nerfseg_ns.errors import UserError


@dataclass
class PhotosConfig:
    """Poses, lens and sparse points of plain photos, by structure from motion (COLMAP)."""

    max_image_side: int = 1600
    """Longer side of the copies in pixels; larger photos are scaled down. nerfstudio keeps all photos in memory, 12
    bytes a pixel, so lower it where memory is short, and raise it for finer labels."""
    matching: Literal["auto", "exhaustive", "sequential", "spatial"] = "auto"
    """Which photos are compared. exhaustive: all pairs; sequential: neighbours by file name, for a flight or a video;
    spatial: neighbours by GPS position. auto: all pairs of up to 60 photos; of more, the neighbours by GPS where at
    least half of the photos have it, else by name."""
    use_gps: bool = True
    """Align the scene to metres, east, north, up by the GPS positions in the photos' EXIF, and choose pairs by them.
    Single wrong ones, and altitudes that do not fit, are found and left out; --no-use-gps where most are wrong."""
    gcp: Optional[Path] = None
    """Ground control in OpenDroneMap's format (gcp_list.txt): a line with the coordinate system, then x y z, column and
    row of the pixel, photo, target. At least three targets, each marked in two photos. They place the scene instead of
    the photos' GPS."""
    camera_model: Literal["OPENCV", "RADIAL", "SIMPLE_RADIAL", "PINHOLE"] = "OPENCV"
    """COLMAP's camera model. SIMPLE_RADIAL where few photos, or photos of flat ground alone, give an odd focal length;
    PINHOLE for photos without distortion. Where OPENCV or RADIAL place fewer than 80 % of the photos, SIMPLE_RADIAL is
    tried too, and the better result kept."""
    single_camera: Literal["auto", "always", "never"] = "auto"
    """Which photos share one lens calibration. auto: those of one size whose EXIF names one camera and focal length;
    always: all, which must then be of one size; never: each photo has its own, which only many photos from many
    directions determine."""
    max_features: int = 8192
    """Features per photo at most. Half of it is faster; more helps where photos fail to register."""
    min_registered: float = 0.5
    """Share of the photos that must get a pose, else nothing is written. Lower it to take what there is."""
    threads: int = 0
    """Processor cores to use; 0 uses all."""
    seed: int = 0
    """Seed of COLMAP's random choices. With more than one thread, results still differ in the last digits."""

    def check(self) -> None:
        """Checks the options.

        Raises:
            UserError: an option makes no sense.
        """
        least = {"max_image_side": 64, "max_features": 100, "threads": 0, "seed": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                option = name.replace("_", "-")
                raise UserError(f"--{option} is {getattr(self, name)}; nerfseg photos needs at least {minimum}.")
        if not 0 < self.min_registered <= 1:
            raise UserError(f"--min-registered is {self.min_registered}; it must be above 0 and at most 1.")
