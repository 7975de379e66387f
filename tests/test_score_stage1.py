"""The script that scores what runs have learnt of a scene's shape."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from score_stage1 import _medians

from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable


def test_heights_are_medians_over_classes_and_ground():
    table = ClassTable(("Grass", "Tree", "Road", "Hut"), ((0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)))
    heights = np.concatenate([np.zeros(30), np.full(30, 2.0), np.full(50, 1.0), np.full(5, 9.0), np.full(40, 7.0)])
    classes = np.repeat([0, 1, 2, 3, IGNORE_INDEX], [30, 30, 50, 5, 40])
    found = _medians(heights, classes, table)
    assert found == {"Grass": 0.0, "Tree": 2.0, "Road": 1.0, "ground": 1.0}  # of the hut there are too few


@pytest.mark.slow
def test_the_views_of_a_town_are_scored_as_ns_eval_scores_them(fast_run, test_results, tmp_path):
    command = [
        sys.executable,
        Path(__file__).parent / "score_stage1.py",
        fast_run,
        "--stride",
        1,
        "--pictures",
        tmp_path,
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {name: float(value) for name, value in re.findall(r"(\w+) (-?[\d.]+)(?:,|\n|$)", done.stdout)}
    metrics = json.loads(test_results.read_text())["results"]
    assert found["views"] == 4
    for name in ("psnr", "psnr_neutral"):
        assert abs(found[name] - metrics[name]) < 0.02
    assert 0 < found["depth_median"] <= found["depth_90"] and 0 <= found["holes"] <= 100
    assert min(Image.open(tmp_path / "heights.jpg").size) > 200
