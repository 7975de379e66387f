"""The recipes of CONTRIBUTING.md and the README's lines of Python, followed as they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.scenes import TABLE, label_array, look_down, noise, save_image
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox

from nerfseg_ns.labels import find
from nerfseg_ns.labels.label_maps import LabelMaps, resolve_labels
from nerfseg_ns.labels.photo_label import LabelOptions, PhotoLabel

ROOT = Path(__file__).parents[1]


class ArrayLabel(PhotoLabel):
    """A label form of somebody else's: class indices as NumPy's .npy."""

    @classmethod
    def own_classes(cls, labels, options: LabelOptions):
        return TABLE

    def read(self, table):
        return np.load(self.path)


def array_labels_in(path: Path) -> list:
    return [(path.stem, ArrayLabel(path))]


def test_another_label_form(tmp_path, monkeypatch):
    monkeypatch.setitem(find.READERS, ".npy", array_labels_in)
    np.save(tmp_path / "0001.npy", label_array(3))
    labels = find.find_labels(tmp_path, ["0000", "0001"])
    table, labels = resolve_labels(labels, [label_array(3).shape[::-1]] * 2, tmp_path / "classes.json")
    assert table is TABLE and labels[0] is None
    assert (LabelMaps.of(labels, table).read(1, *label_array(3).shape)[..., 0].numpy() == label_array(3)).all()


@dataclass
class PlainFolderConfig(DataParserConfig):
    """A dataparser of somebody else's."""

    _target: type = field(default_factory=lambda: PlainFolder)
    data: Path = Path()


class PlainFolder(DataParser):
    """PNGs of a folder, taken straight down in a row; labels beside them in `labels/`."""

    def _generate_dataparser_outputs(self, split="train"):
        folder = self.config.data
        photos = sorted(folder.glob("*.png"))
        stems, size = [photo.stem for photo in photos], noise(0).shape[1::-1]
        labels = find.find_labels(folder / "labels", stems)
        table, labels = resolve_labels(labels, [size] * len(photos), folder / "classes.json")
        poses = np.stack([look_down(0.1 * i, 0.05 * i) @ np.diag([1, -1, -1, 1]) for i in range(len(photos))])
        cameras = Cameras(
            torch.from_numpy(poses[:, :3]).float(),
            *(10.0, 10.0, size[0] / 2, size[1] / 2, size[0], size[1]),
            camera_type=CameraType.PERSPECTIVE,
        )
        box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
        return DataparserOutputs(photos, cameras, scene_box=box, metadata={"semantics": LabelMaps.of(labels, table)})


def test_another_dataparser_trains(tmp_path, make_trainer, step_trainer):
    scene = tmp_path / "scene"
    for index in range(4):
        save_image(scene / f"{index}.png", noise(index))
    save_image(scene / "labels" / "1.png", label_array(1))
    TABLE.save(scene / "classes.json")
    trainer = make_trainer(scene, 2, 2, "nerfseg", dataparser=PlainFolderConfig())
    assert "f2s_loss" in step_trainer(trainer, range(4))
    assert trainer.pipeline.model.class_names == list(TABLE.names)


def test_the_readmes_lines_of_python(fast_run):
    """With the folder of a run in the place of RUN."""
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    found: dict = {}
    exec(lines.replace("RUN/config.yml", str(fast_run)), found)
    assert found["labels"].shape == (48, 48) and found["view"]["rgb"].shape == (48, 48, 3)
    assert set(found["names"]) <= set(found["pipeline"].model.class_names) and found["names"]


@pytest.mark.parametrize("page", ["README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob(".[dg]*/*.md")))])
def test_links_lead_somewhere(page):
    path = ROOT / page
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        if not target.startswith("https://"):
            headings = re.findall(r"(?m)^#+ (.*)$", ((path.parent / target) if target else path).read_text("utf-8"))
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}, anchor
