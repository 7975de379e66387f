"""The scores of the comparison, against slow and obvious references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from nerfseg_ns.compare.scoring import ComparedScores
from nerfseg_ns.evaluation.prediction import Prediction
from nerfseg_ns.labels.classes import IGNORE_INDEX

NAMES = ["Building", "Road", "Tree", "Pole"]


def random_view(seed: int, size: tuple[int, int] = (24, 31)) -> tuple[Prediction, np.ndarray]:
    """A prediction that is right more often where it is confident, and a truth with ignored pixels and no Pole."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, size).astype(np.uint8)
    confidence = random.uniform(0.2, 1.0, size).astype(np.float32)
    labels = np.where(random.uniform(size=size) < 0.7 * confidence, truth, random.integers(0, 4, size)).astype(np.uint8)
    truth[random.uniform(size=size) < 0.2] = IGNORE_INDEX
    return Prediction(labels, confidence), truth


def pixels_of(views: list) -> list[tuple[float, int, int]]:
    """Confidence, predicted and true class of every pixel that is not ignored, one by one."""
    return [
        (float(confidence), int(label), int(true))
        for prediction, truth in views
        for confidence, label, true in zip(prediction.confidence.flat, prediction.labels.flat, truth.flat)
        if true != IGNORE_INDEX
    ]


def slow_miou(pixels: list[tuple[float, int, int]]) -> float:
    """Mean IoU over the classes in the truth."""
    values = []
    for index in range(len(NAMES)):
        both = sum(label == index and true == index for _, label, true in pixels)
        either = sum(label == index or true == index for _, label, true in pixels)
        if any(true == index for _, _, true in pixels):
            values.append(both / either)
    return sum(values) / len(values)


def summary_of(views: list) -> dict:
    scores = ComparedScores(NAMES)
    for prediction, truth in views:
        scores.add(prediction, truth)
    return scores.summary()


@pytest.fixture(scope="module")
def views() -> list:
    return [random_view(seed) for seed in range(3)]


def test_scores_are_those_of_all_pixels_counted_one_by_one(views):
    pixels, found = pixels_of(views), summary_of(views)
    assert found["miou"] == pytest.approx(slow_miou(pixels))
    assert found["total_accuracy"] == pytest.approx(sum(label == true for _, label, true in pixels) / len(pixels))
    matrix = np.array(found["confusion"])
    for true in range(len(NAMES)):
        for label in range(len(NAMES)):
            assert matrix[true, label] == sum((label, true) == pixel[1:] for pixel in pixels)
    assert found["iou/Pole"] == 0 and matrix[3].sum() == 0  # named, but in no truth


def test_calibration_error_is_the_expected_one_in_15_bins(views):
    pixels = pixels_of(views)
    edges = [round(1000 * k / 15) / 1000 for k in range(16)]  # to a thousandth
    expected = 0.0
    for low, high in zip(edges, edges[1:]):
        inside = [pixel for pixel in pixels if low <= pixel[0] < high or (high == 1.0 and pixel[0] == 1.0)]
        if inside:
            accuracy = sum(label == true for _, label, true in inside) / len(inside)
            confidence = sum(pixel[0] for pixel in inside) / len(inside)
            expected += abs(accuracy - confidence) * len(inside) / len(pixels)
    assert summary_of(views)["calibration_error"] == pytest.approx(expected)


def test_calibration_error_is_that_of_torchmetrics(views):
    confidence, labels, truth = map(torch.tensor, zip(*pixels_of(views)))
    rest = (1 - confidence) / (len(NAMES) - 1)
    probabilities = rest[:, None].repeat(1, len(NAMES)).scatter(1, labels[:, None], confidence[:, None])
    sure = confidence > 1 / 3  # below, the named class need not be the likeliest
    theirs = multiclass_calibration_error(probabilities[sure], truth[sure], len(NAMES), n_bins=15)
    prediction = Prediction(labels[sure].byte().numpy(), confidence[sure].numpy())
    assert summary_of([(prediction, truth[sure].byte().numpy())])["calibration_error"] == pytest.approx(
        float(theirs), abs=2e-3
    )


def test_confident_scores_are_those_of_the_surest_pixels(views):
    pixels = sorted(pixels_of(views), reverse=True)
    least = int(1000 * pixels[int(np.ceil(0.8 * len(pixels))) - 1][0])  # whole thousandths are in or out
    surest = [pixel for pixel in pixels if int(1000 * pixel[0]) >= least]
    assert 0.8 * len(pixels) <= len(surest) < 0.81 * len(pixels)
    found = summary_of(views)
    assert found["confident_miou"] == pytest.approx(slow_miou(surest))
    assert found["confident_accuracy"] == pytest.approx(sum(label == true for _, label, true in surest) / len(surest))
    assert found["confident_miou"] > found["miou"]


def test_hand_computed_view():
    # Confidences 1, 0.9, 0.8, 0.2 and one ignored pixel; truth A A B B, found A B B A.
    truth = np.array([[0, 0, 1, 1, IGNORE_INDEX]], np.uint8)
    prediction = Prediction(np.array([[0, 1, 1, 0, 0]], np.uint8), np.array([[1.0, 0.9, 0.8, 0.2, 1.0]], np.float32))
    scores = ComparedScores(["A", "B"])
    scores.add(prediction, truth)
    found = scores.summary()
    assert found["confusion"] == [[1, 1], [1, 1]]
    assert found["miou"] == pytest.approx(1 / 3) and found["total_accuracy"] == 0.5
    # bins: {1}: |1 - 1|, {0.9}: |0 - 0.9|, {0.8}: |1 - 0.8|, {0.2}: |0 - 0.2|, a quarter of the pixels each
    assert found["calibration_error"] == pytest.approx((0 + 0.9 + 0.2 + 0.2) / 4)
    # 80 % of four pixels are 3.2, so that all four are in
    assert found["confident_accuracy"] == 0.5


def test_views_of_other_shapes_and_orders_make_no_difference(views):
    prediction, truth = views[0]
    flat = Prediction(prediction.labels.reshape(1, -1), prediction.confidence.reshape(1, -1))
    expected, found = summary_of(views), summary_of([*views[1:], (flat, truth.reshape(1, -1))])
    assert found.pop("confusion") == expected.pop("confusion") and found == pytest.approx(expected)
