"""Scenes and their plans, for the tests of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from helpers.scenes import label_array, save_image
from nerfseg_ns.compare.plan import PlannedJob
from nerfseg_ns.compare.scenes import SceneInfo


def scene_info(name: str = "town", **changes) -> SceneInfo:
    """A scene of 16 training photos, four of them labelled, whose truth is known."""
    counts = {0: 12, 1: 15, 2: 14}
    scene = SceneInfo(name, Path("/scenes") / name, None, "photos", "labels", 4, counts, counts)
    return replace(scene, **changes)


def names_of(jobs: Sequence[PlannedJob]) -> list[str]:
    return [job.name for job in jobs]


def with_truth(scene: Path) -> Path:
    """Gives a tree the true labels of its training photos, as the built-in town has them."""
    for index in range(4):
        save_image(scene / "truth" / "train" / "label" / f"{index:04d}.png", label_array(index))
    return scene
