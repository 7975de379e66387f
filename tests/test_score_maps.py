"""The script that scores label maps of the real flights: what it counts, and what it leaves out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import score_maps
from PIL import Image

NAMES = ("Grass", "Water", "Court")


def square(name, left, difficult):
    corners = [[left, 0], [left + 10, 0], [left + 10, 20], [left, 20]]
    return {"label": name, "points": corners, "shape_type": "polygon", "flags": {"difficult": difficult}}


@pytest.fixture
def scored(tmp_path, monkeypatch, capsys):
    """Three stripes of truth; writes a label map of three stripes and gives what the script prints of it."""
    scene, maps, polygons = tmp_path / "field", tmp_path / "maps", tmp_path / "polygons"
    for folder in (scene, maps, polygons / scene.name):
        folder.mkdir(parents=True)
    classes = [{"name": name, "color": [40 * index, 0, 0]} for index, name in enumerate(NAMES)]
    (scene / "classes.json").write_text(json.dumps({"classes": classes}))
    shapes = [square(name, 10 * index, difficult=name == "Water") for index, name in enumerate(NAMES)]
    label = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.jpg", "imageData": None}
    content = json.dumps({**label, "imageHeight": 20, "imageWidth": 30})
    (polygons / scene.name / "a.json").write_text(content)
    monkeypatch.setattr(score_maps, "POLYGONS", polygons)

    def score(stripes, *without, confidence=255):
        Image.fromarray(np.repeat(np.array(stripes, np.uint8), 10)[None].repeat(20, axis=0)).save(maps / "a.png")
        Image.fromarray(np.full((20, 30), confidence, np.uint8)).save(maps / "a-confidence.png")
        score_maps.main(scene, maps, *without)
        return capsys.readouterr().out.splitlines()

    return score


def test_right_maps_have_full_scores(scored):
    everything, difficult, calibration = scored((0, 1, 2))
    assert "all: mIoU 1.000, accuracy 1.000" in everything and "difficult: mIoU 1.000" in difficult
    assert "Water 1.00" in difficult and "Grass" not in difficult
    assert calibration == "calibration error 0.000"


def test_classes_are_left_out_on_request(scored):
    """A court taken for water costs both classes; where no labelled photo shows a court, it says nothing."""
    everything, difficult, calibration = scored((0, 1, 1))
    assert "all: mIoU 0.5" in everything and "Court 0.00" in everything and "difficult: mIoU 1.000" in difficult
    assert float(calibration.split()[-1]) == pytest.approx(1 / 3, abs=0.03)
    everything, _, calibration = scored((0, 1, 1), "Court")
    assert "all: mIoU 1.000, accuracy 1.000" in everything and "Court" not in everything
    assert calibration == "calibration error 0.000"
