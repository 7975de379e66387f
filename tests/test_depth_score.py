"""The depth score against a slow, obvious reference."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from nerfseg_ns.errors import UserError
from nerfseg_ns.evaluation.depth import DepthScore, read_true_depth, relative_errors


def slow_median(views) -> float:
    """Pixel by pixel over all views."""
    errors = []
    for rendered, truth in views:
        for row in range(truth.shape[0]):
            for column in range(truth.shape[1]):
                true = float(truth[row, column])
                if math.isfinite(true):
                    errors.append(abs(float(rendered[row, column]) - true) / true)
    return statistics.median(errors)


@pytest.mark.parametrize("seed", range(4))
def test_median_is_over_the_pixels_of_all_views(seed):
    rng = np.random.default_rng(seed)
    score, views = DepthScore(), []
    for height, width, scale in ((5, 7, 0.01), (6, 4, 0.3), (3, 3, 0.05)):  # views of unequal size and error
        truth = rng.uniform(0.2, 2.0, (height, width)).astype(np.float32)
        rendered = (truth * (1 + scale * rng.normal(size=truth.shape))).astype(np.float32)
        truth[rng.random(truth.shape) < 0.3] = np.inf
        views.append((rendered, truth))
        score.add(rendered, truth)
    assert score.median() == pytest.approx(slow_median(views), rel=1e-12)


def test_hand_computed():
    truth = np.array([[1.0, 2.0], [4.0, np.inf]])
    rendered = np.array([[1.1, 1.0], [4.0, 7.0]])
    # |1.1 - 1| / 1 = 0.1, |1 - 2| / 2 = 0.5, 0; the sky does not count; the median of 0, 0.1, 0.5 is 0.1
    assert sorted(relative_errors(rendered, truth)) == pytest.approx([0.0, 0.1, 0.5])
    score = DepthScore()
    score.add(rendered, truth)
    assert score.median() == pytest.approx(0.1)


def test_pixels_without_a_rendered_depth_are_wrong():
    score = DepthScore()
    score.add(np.array([[np.nan, np.inf, 1.0]]), np.array([[1.0, 1.0, 1.0]]))
    assert score.median() == np.inf


def test_no_known_depth_is_an_error():
    score = DepthScore()
    score.add(np.ones((2, 2)), np.full((2, 2), np.inf))
    with pytest.raises(UserError, match="known depth"):
        score.median()


def test_other_shapes_are_an_error():
    with pytest.raises(UserError, match=r"\(2, 3\)"):
        relative_errors(np.ones((2, 3)), np.ones((3, 2)))


def test_true_depth_is_read_from_the_town(tmp_path):
    folder = tmp_path / "truth" / "test" / "depth"
    folder.mkdir(parents=True)
    np.save(folder / "0003.npy", np.arange(6.0).reshape(2, 3))
    assert read_true_depth(tmp_path, "0003").tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(UserError, match="0004.npy"):
        read_true_depth(tmp_path, "0004")
