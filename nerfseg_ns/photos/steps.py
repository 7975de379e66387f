"""The steps that make a scene of photos, one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pycolmap
from jaxtyping import Float64

from nerfseg_ns.console.progress import progress_bar, say
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.photos.align import align
from nerfseg_ns.photos.alignment import Alignment, local_positions
from nerfseg_ns.photos.config import PhotosConfig
from nerfseg_ns.photos.copies import copy_photo
from nerfseg_ns.photos.find_photos import FEWEST, Photo
from nerfseg_ns.photos.ground_control import read_targets, residual_table
from nerfseg_ns.photos.pairs import choose_matching, find_pairs
from nerfseg_ns.photos.place_targets import align_targets
from nerfseg_ns.photos.reconstruct import SIMPLEST, Reconstructor
from nerfseg_ns.photos.summary import ground_sample_distance, summarise
from nerfseg_ns.photos.up import up_of_model
from nerfseg_ns.photos.write_scene import registered, write_scene

ENOUGH = 0.8
"""Share of the photos, below which a simpler lens is tried."""
INVOLVED = ("OPENCV", "RADIAL")
"""Camera models that have more unknowns than the simplest."""
MARKED_PIXELS = 2
"""How exactly targets are marked: what is nearer than so many pixels on the ground is not off."""


class SceneMaker:
    """Makes one scene in a folder.

    Args:
        photos: all, sorted by name.
        cameras: which of them share a lens calibration, as positions in the list.
        config: options.
        folder: of the scene, empty but for `work`.
        work: folder for what is not kept.
    """

    def __init__(
        self, photos: list[Photo], cameras: list[list[int]], config: PhotosConfig, folder: Path, work: Path
    ) -> None:
        self.photos, self.cameras, self.config, self.folder, self.work = photos, cameras, config, folder, work
        self.copies = work / "photos"
        # COLMAP's lists are separated by white space, so it knows the photos by number.
        self.keys = [f"{index:06d}{Path(photo.name).suffix}" for index, photo in enumerate(photos)]
        self.places = {
            photo.name: photo.exif.position for photo in photos if config.use_gps and photo.exif.position is not None
        }
        self.seconds: dict[str, float] = {}

    def make(self) -> dict[str, Any]:
        """Makes the scene.

        Returns:
            Its figures.

        Raises:
            UserError: a photo cannot be read, or too few photos get a pose.
        """
        say(self._found())
        self.targets = [] if self.config.gcp is None else read_targets(self.config.gcp, self.photos)
        matching = choose_matching(self.config.matching, len(self.photos), len(self.places))
        with self._timed("copying"):
            self._copy()
        models = self._reconstruct(matching)
        self._check_registered(models)
        with self._timed("writing"):
            self._give_names(models[0])
            control: list[dict[str, Any]] = []
            if self.targets:
                alignment, note, control = self._align_to_targets(models[0])
            else:
                alignment, note = self._align(models[0])
            frame, quality = (alignment.frame, alignment.quality) if alignment else (None, None)
            write_scene(self.folder, models[0], frame, quality)
        located = [image.name for image in registered(models[0]) if image.name in self.places]
        seconds = {**self.seconds, "total": sum(self.seconds.values())}
        return summarise(self.photos, models, alignment, located, note, seconds, control)

    def _found(self) -> str:
        sizes = [f"{width} x {height}" for width, height in sorted({photo.size for photo in self.photos})]
        shown = ", ".join(sizes[:3]) + (", ..." if len(sizes) > 3 else "")
        cameras = "one camera" if len(self.cameras) == 1 else f"{len(self.cameras)} cameras"
        gps = f"{len(self.places)} with a GPS position" if self.config.use_gps else "GPS left aside"
        return f"{len(self.photos)} photos ({shown} pixels), {cameras}, {gps}"

    def _copy(self) -> None:
        self.copies.mkdir()
        problems = ErrorCollector()
        with progress_bar("Copying photos", len(self.photos)) as report:
            for index, (photo, key) in enumerate(zip(self.photos, self.keys)):
                with problems.collect():
                    copy_photo(photo, self.copies / key, self.config.max_image_side)
                report(index + 1)
        problems.raise_found()

    def _reconstruct(self, matching: str) -> list[pycolmap.Reconstruction]:
        """The models that come out, the largest first."""
        count = len(self.photos)
        pairs = find_pairs(matching, self._positions())
        reconstructor = Reconstructor(self.copies, self.work, self.config)
        with self._timed("features"):
            groups = [[self.keys[index] for index in group] for group in self.cameras]
            reconstructor.find_features(groups, shared=self.config.single_camera != "never")
        say(f"Features found in {self.seconds['features']:.0f} s")
        with self._timed("matching"):
            reconstructor.match(self.keys, pairs)
        say(f"{len(pairs)} pairs compared in {self.seconds['matching']:.0f} s ({matching} matching)")
        with self._timed("placing"):
            models = self._place(reconstructor, count)
        say(f"{_size(models)} of {count} photos placed in {self.seconds['placing']:.0f} s")
        return models

    def _place(self, reconstructor: Reconstructor, count: int) -> list[pycolmap.Reconstruction]:
        """Places the photos; with a simpler lens too, where the given one loses many: it has too many unknowns then."""
        models, given = reconstructor.place(count), self.config.camera_model
        if _size(models) >= ENOUGH * count or given not in INVOLVED:
            return models
        reconstructor.simplify_lenses()
        simpler = reconstructor.place(count)
        kept = SIMPLEST if _size(simpler) > _size(models) else given
        say(
            f"{given} placed {_size(models)} of {count} photos, {SIMPLEST}, with fewer unknowns, {_size(simpler)}: "
            f"{kept} is kept"
        )
        return simpler if kept == SIMPLEST else models

    def _positions(self) -> list[Optional[Float64[np.ndarray, " 3"]]]:
        """Of all photos in metres, None where there is none; all at one height, for altitudes are often far off."""
        if not self.places:
            return [None] * len(self.photos)
        level = local_positions(list(self.places.values()))[1] * (1.0, 1.0, 0.0)
        by_name = dict(zip(self.places, level))
        return [by_name.get(photo.name) for photo in self.photos]

    def _check_registered(self, models: list[pycolmap.Reconstruction]) -> None:
        count, placed = len(self.photos), _size(models)
        needed = max(FEWEST, math.ceil(self.config.min_registered * count))
        if placed >= needed:
            return
        apart = f", which fell apart into {len(models)} scenes" if len(models) > 1 else ""
        raise UserError(
            f"Poses were found for only {placed} of {count} photos{apart}; at least {needed} are needed. The usual "
            "reasons: neighbouring photos overlap too little (two thirds of each is a good measure); they are blurred; "
            "they show mostly water, snow or sky; they were taken at different places. What helps: more photos in "
            "between, leaving out those that do not belong, --camera-model SIMPLE_RADIAL, --matching exhaustive, "
            "--max-features 16384; a lower --min-registered takes what there is. Nothing was written."
        )

    def _give_names(self, model: pycolmap.Reconstruction) -> None:
        """Gives the photos their own names again and moves those with a pose into the scene."""
        names = {key: photo.name for key, photo in zip(self.keys, self.photos)}
        (self.folder / "images").mkdir()
        for image in model.images.values():
            key, image.name = image.name, names[image.name]
            if image.has_pose:
                (self.copies / key).rename(self.folder / "images" / image.name)

    def _align_to_targets(
        self, model: pycolmap.Reconstruction
    ) -> tuple[Optional[Alignment], str, list[dict[str, Any]]]:
        """Turns the model to the earth by ground control; also says in words how that went, and of each target."""
        tolerance = MARKED_PIXELS * ground_sample_distance(model)
        targets, alignment, note, wrong = align_targets(
            model, self.targets, self.config.seed, tolerance, up_of_model(model, self._pitches())
        )
        if alignment is None:
            return None, note, []
        model.transform(alignment.similarity)
        return alignment, note, residual_table(targets, alignment, wrong)

    def _pitches(self) -> dict[str, float]:
        """Of the cameras, degrees, by the photos' names, as far as the photos say them."""
        return {photo.name: photo.exif.pitch for photo in self.photos if photo.exif.pitch is not None}

    def _align(self, model: pycolmap.Reconstruction) -> tuple[Optional[Alignment], str]:
        """Turns the model to the earth if it can be; also says in words how that went."""
        if not self.places:
            why = "the photos' EXIF has no GPS positions" if self.config.use_gps else "GPS is left aside"
            return None, f"Not georeferenced: {why}. Units and axes are arbitrary; training levels the scene."
        images = [image for image in registered(model) if image.name in self.places]
        centres = np.array([image.projection_center() for image in images]).reshape(-1, 3)
        places = [self.places[image.name] for image in images]
        alignment, note = align(centres, places, self.config.seed, up=up_of_model(model, self._pitches()))
        if alignment is not None:
            model.transform(alignment.similarity)
        return alignment, note

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - start


def _size(models: list[pycolmap.Reconstruction]) -> int:
    """Photos with a pose in the largest model."""
    return models[0].num_reg_images() if models else 0
