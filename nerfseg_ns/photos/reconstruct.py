"""Structure from motion with pycolmap: features, matches, then poses, lenses and points together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pycolmap

from nerfseg_ns.console.progress import progress_bar
from nerfseg_ns.photos.config import PhotosConfig
from nerfseg_ns.photos.pairs import Pair

PHOTOS_PER_THREAD, PAIRS_PER_THREAD, FEWEST_PAIRS = 4, 8, 64
"""What COLMAP is given at once. It tells of no progress within a call, and a call costs a little to start."""

SIMPLEST = "SIMPLE_RADIAL"
"""COLMAP's model with the fewest unknowns that bends lines: a focal length and one number of distortion."""


class Reconstructor:
    """COLMAP's steps over one folder of photos. To be called in the order of the methods.

    Progress counts calls of COLMAP. Its database must not be watched meanwhile: it has an SQLite of its own, and two of
    them in one process undo each other's locks.

    Args:
        photos: folder of the photos; file names must be free of white space, which separates names in COLMAP's files.
        work: folder for the database and the models.
        config: options.
    """

    def __init__(self, photos: Path, work: Path, config: PhotosConfig) -> None:
        self.photos, self.work, self.config = photos, work, config
        self.database = work / "database.db"
        self.threads = config.threads or os.cpu_count() or 1

    def find_features(self, cameras: list[list[str]], shared: bool) -> None:
        """Finds the features of all photos.

        Args:
            cameras: names of the photos, those of one camera together.
            shared: whether the photos of one camera share its calibration.
        """
        options = pycolmap.FeatureExtractionOptions(num_threads=self.threads)
        options.sift.max_num_features = self.config.max_features
        mode = pycolmap.CameraMode.SINGLE if shared else pycolmap.CameraMode.PER_IMAGE
        done, step = 0, PHOTOS_PER_THREAD * self.threads
        with self._quiet(), progress_bar("Finding features", sum(map(len, cameras))) as report:
            for names in cameras:
                reader = pycolmap.ImageReaderOptions(camera_model=self.config.camera_model)
                for start in range(0, len(names), step):
                    some = names[start : start + step]
                    pycolmap.extract_features(
                        self.database,
                        self.photos,
                        image_names=some,
                        camera_mode=mode,
                        reader_options=reader,
                        extraction_options=options,
                    )
                    if shared:
                        reader.existing_camera_id = self._newest_camera()
                    done += len(some)
                    report(done)

    def match(self, names: list[str], pairs: list[Pair]) -> None:
        """Matches the features of pairs of photos, and keeps the matches that one camera motion explains.

        Args:
            names: of the photos.
            pairs: positions in `names`.
        """
        matching = pycolmap.FeatureMatchingOptions(num_threads=self.threads)
        verification = pycolmap.TwoViewGeometryOptions()
        verification.ransac.random_seed = self.config.seed
        listed = self.work / "pairs.txt"
        step = max(FEWEST_PAIRS, PAIRS_PER_THREAD * self.threads)
        with self._quiet(), progress_bar("Comparing pairs of photos", len(pairs)) as report:
            for start in range(0, len(pairs), step):
                some = pairs[start : start + step]
                listed.write_text("".join(f"{names[first]} {names[second]}\n" for first, second in some))
                pycolmap.match_image_pairs(
                    self.database,
                    matching_options=matching,
                    pairing_options=pycolmap.ImportedPairingOptions(match_list_path=listed),
                    verification_options=verification,
                )
                report(start + len(some))

    def simplify_lenses(self) -> None:
        """Gives all cameras the simplest model with distortion; features and matches stay as they are."""
        with pycolmap.Database.open(self.database) as database:
            for camera in database.read_all_cameras():
                simple = pycolmap.Camera.create_from_model_name(
                    camera.camera_id, SIMPLEST, camera.mean_focal_length(), camera.width, camera.height
                )
                simple.has_prior_focal_length = camera.has_prior_focal_length
                database.update_camera(simple)

    def place(self, count: int) -> list[pycolmap.Reconstruction]:
        """Finds poses, lens calibrations and points.

        Args:
            count: of the photos, for the progress.

        Returns:
            The models that came out, the largest first; photos that do not overlap end in several. May be empty.
        """
        options = pycolmap.IncrementalPipelineOptions(num_threads=self.threads, random_seed=self.config.seed)
        folder = Path(tempfile.mkdtemp(prefix="models-", dir=self.work))
        placed = 0
        with self._quiet(), progress_bar("Placing photos", count) as report:

            def count_up(start: int) -> None:
                nonlocal placed
                placed = start + 1
                report(placed)

            models = pycolmap.incremental_mapping(
                self.database,
                self.photos,
                folder,
                options=options,
                initial_image_pair_callback=lambda: count_up(1),
                next_image_callback=lambda: count_up(placed),
            )
        return sorted(models.values(), key=lambda model: (-model.num_reg_images(), -model.num_points3D()))

    def _newest_camera(self) -> int:
        with pycolmap.Database.open(self.database) as database:
            return max(camera.camera_id for camera in database.read_all_cameras())

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Seeds COLMAP and keeps its log off the terminal; what it cannot do, it raises."""
        pycolmap.set_random_seed(self.config.seed)
        before = pycolmap.logging.minloglevel
        pycolmap.logging.minloglevel = int(pycolmap.logging.FATAL)
        try:
            yield
        finally:
            pycolmap.logging.minloglevel = before
