"""The town as Google Earth Studio would render and export it: numbered JPEGs and 3D tracking data, at a real place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from nerfseg_ns.geo.earth_studio import EARTH_RADIUS, Track, write_track
from nerfseg_ns.geo.georeference import Georeference
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.map_frame import GeoMapFrame, MapFrame
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.scene_writer import SceneWriter, Shot, write_depth, write_matrix, write_png

JPEG_QUALITY = 95


class EarthStudioWriter(SceneWriter):
    """`NAME.json`, `footage`, `labels` (of the labelled training views and of all others), `test.txt` and, apart,
    `truth`.

    Training, validation and test views follow each other in one track; the last two are those in `test.txt`. The
    town's x and y are east and north, its origin is the track point.
    """

    def __init__(self, config: TownConfig, folder: Path, labelled: Sequence[int]) -> None:
        super().__init__(config, folder, labelled)
        self.name = f"town-{config.seed}"
        self._poses: list[Float[ndarray, "4 4"]] = []
        self._labelled: list[str] = []
        self._held_out: list[str] = []
        self._digits = max(3, len(str(config.train_views + config.validation_views + config.test_views - 1)))

    def write_view(self, split: str, index: int, shot: Shot) -> str:
        stem = f"{self.name}_{len(self._poses):0{self._digits}d}"
        truth = self.folder / "truth" / split
        self._poses.append(shot.found)
        self._write_photo(stem, shot.photo)
        if split != "train":
            self._held_out.append(stem)
        elif index in self.labelled:
            self._labelled.append(stem)
        if split != "train" or index in self.labelled:
            write_png(self.folder / "labels" / f"{stem}.png", shot.view.label)
        if split == "train":
            write_png(truth / "label" / f"{stem}.png", shot.view.label)
        write_matrix(truth / "pose" / f"{stem}.txt", shot.pose)
        write_depth(truth / "depth" / f"{stem}.npy", shot.view.depth)
        if self.config.real:
            write_png(truth / "rgb" / f"{stem}.png", shot.view.rgb)
        return stem

    def map_frame(self) -> tuple[MapFrame, float]:
        return GeoMapFrame(Georeference(self._frame, np.eye(4)[:3], 1.0)), 1.0

    @property
    def _frame(self) -> LocalFrame:
        config = self.config
        return LocalFrame(config.latitude, config.longitude, config.altitude, EARTH_RADIUS)

    def finish(self) -> dict[str, Any]:
        config = self.config
        count = len(self._poses)
        track = Track(
            name=self.name,
            size=(config.image_size, config.image_size),
            frame=self._frame,
            poses=np.array(self._poses),
            fov_vertical=np.full(count, config.field_of_view),
            track_points=np.zeros((1, 3)),
        )
        (self.folder / f"{self.name}.json").write_text(json.dumps(write_track(track), separators=(",", ":")))
        (self.folder / "test.txt").write_text("".join(f"{stem}.jpeg\n" for stem in self._held_out))
        return {
            "truth": "pose: camera-to-world, OpenCV axes, metres east, north and up of the place; depth: distance "
            "along the ray in metres, inf for sky",
            "labelled_views": self._labelled,
        }

    def _write_photo(self, stem: str, photo: UInt8[ndarray, "height width 3"]) -> None:
        path = self.folder / "footage" / f"{stem}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
