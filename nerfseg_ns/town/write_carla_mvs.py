"""The town in the Carla-MVS layout: posed trees, scaled into the unit sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from nerfseg_ns.geo.map_frame import LocalMapFrame, MapFrame
from nerfseg_ns.town.cameras import METRES_PER_UNIT
from nerfseg_ns.town.scene_writer import SceneWriter, Shot, write_depth, write_matrix, write_png


class CarlaMVSWriter(SceneWriter):
    """`{train,validation,test}/{rgb,pose,intrinsics,label}` and, apart, `truth`."""

    def write_view(self, split: str, index: int, shot: Shot) -> str:
        stem = f"{index:04d}"
        folder, truth = self.folder / split, self.folder / "truth" / split
        write_png(folder / "rgb" / f"{stem}.png", shot.photo)
        write_matrix(folder / "pose" / f"{stem}.txt", _scaled(shot.found))
        write_matrix(folder / "intrinsics" / f"{stem}.txt", shot.camera)
        if split != "train" or index in self.labelled:
            write_png(folder / "label" / f"{stem}.png", shot.view.label)
        if split == "train":
            write_png(truth / "label" / f"{stem}.png", shot.view.label)
        write_depth(truth / "depth" / f"{stem}.npy", shot.view.depth / METRES_PER_UNIT)
        if self.config.real:
            write_png(truth / "rgb" / f"{stem}.png", shot.view.rgb)
            write_matrix(truth / "pose" / f"{stem}.txt", _scaled(shot.pose))
        return stem

    def map_frame(self) -> tuple[MapFrame, float]:
        return LocalMapFrame(np.eye(3), 1.0), METRES_PER_UNIT

    def finish(self) -> dict[str, Any]:
        return {
            "metres_per_unit": METRES_PER_UNIT,
            "depth": "distance along the ray in scene units, inf for sky",
            "labelled_views": [f"{index:04d}" for index in self.labelled],
        }


def _scaled(pose: Float[ndarray, "4 4"]) -> Float[ndarray, "4 4"]:
    """A pose in the scene's units."""
    scaled = pose.copy()
    scaled[:3, 3] /= METRES_PER_UNIT
    return scaled
