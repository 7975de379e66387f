"""Scores against a slow reference, and what ns-eval writes against the label images that ns-render writes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nerfseg_ns.evaluation.confusion import confusion_matrix, segmentation_scores
from nerfseg_ns.evaluation.scores import SegmentationScores
from nerfseg_ns.evaluation.shared_views import own_views
from nerfseg_ns.exposure.exposure import find_exposure
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town

SUMMARY = ("miou", "miou_union", "total_accuracy", "average_accuracy")
OF_NERFSTUDIO = ("num_rays_per_sec", "fps")
"""What nerfstudio's own averaging adds; the deviations over the images (`_std`) are its own, too."""


def slow_scores(predicted, truth, names) -> dict:
    """The scores pixel by pixel and class by class."""
    pixels = [(p, t) for p, t in zip(predicted, truth, strict=True) if t != IGNORE_INDEX]
    scores, in_truth, in_either, recalls = {}, [], [], []
    for index, name in enumerate(names):
        both = sum(1 for p, t in pixels if p == index and t == index)
        either = sum(1 for p, t in pixels if p == index or t == index)
        true = sum(1 for _, t in pixels if t == index)
        if either:
            scores[f"iou/{name}"] = both / either
            in_either.append(both / either)
        if true:
            in_truth.append(both / either)
            recalls.append(both / true)
    if not pixels:
        return {}
    scores["miou"] = sum(in_truth) / len(in_truth)
    scores["miou_union"] = sum(in_either) / len(in_either)
    scores["total_accuracy"] = sum(p == t for p, t in pixels) / len(pixels)
    scores["average_accuracy"] = sum(recalls) / len(recalls)
    return scores


@pytest.mark.parametrize("num_classes", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_slow_loop(num_classes, seed):
    generator = np.random.default_rng(seed)
    names = [f"class {index}" for index in range(num_classes)]
    known = generator.permutation(num_classes)[: max(1, num_classes - seed)]  # some classes are absent
    truth = generator.choice(known, 300)
    predicted = np.where(generator.random(300) < 0.6, truth, generator.integers(0, num_classes, 300))
    truth[generator.random(300) < 0.2] = IGNORE_INDEX
    matrix = confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(truth), num_classes)
    assert matrix.sum() == (truth != IGNORE_INDEX).sum()
    for row in range(num_classes):
        for column in range(num_classes):
            assert matrix[row, column] == ((truth == row) & (predicted == column)).sum()
    expected = slow_scores(predicted.tolist(), truth.tolist(), names)
    assert segmentation_scores(matrix, names) == pytest.approx(expected)


def test_classes_absent_from_the_truth_count_in_the_union_only():
    # truth A A A B, found A A B C: A 2/3, B 0/2, C 0/1
    matrix = confusion_matrix(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 1]), 4)
    scores = segmentation_scores(matrix, ["A", "B", "C", "D"])
    assert scores == pytest.approx(
        {
            "iou/A": 2 / 3,
            "iou/B": 0.0,
            "iou/C": 0.0,
            "miou": 1 / 3,
            "miou_union": 2 / 9,
            "total_accuracy": 0.5,
            "average_accuracy": 1 / 3,
        }
    )


def test_without_a_labelled_pixel_there_are_no_scores():
    scores = SegmentationScores(["A", "B"])
    scores.add("", torch.zeros(4, dtype=torch.long), torch.full((4,), IGNORE_INDEX, dtype=torch.uint8))
    assert scores.summary() == {}


def test_scores_come_from_one_matrix_over_all_views():
    """A view of one pixel weighs as a pixel, not as a view; each way of classifying has a matrix of its own."""
    scores = SegmentationScores(["A", "B"])
    scores.add("", torch.tensor([[0, 0, 0]]), torch.tensor([[0, 0, 0]], dtype=torch.uint8))
    scores.add("", torch.tensor([0]), torch.tensor([1], dtype=torch.uint8))
    scores.add("observed/", torch.tensor([1]), torch.tensor([1], dtype=torch.uint8))
    summary = scores.summary()
    assert summary["total_accuracy"] == 0.75 and summary["miou"] == pytest.approx((3 / 4 + 0) / 2)
    assert summary["observed/total_accuracy"] == 1 and summary["observed/iou/B"] == 1
    assert "observed/iou/A" not in summary


@pytest.mark.parametrize(("views", "world_size"), [(4, 1), (4, 2), (4, 3), (4, 4), (4, 5)])
def test_processes_that_train_together_share_the_views(views, world_size, fast_pipeline, monkeypatch):
    loader = fast_pipeline.datamanager.fixed_indices_eval_dataloader
    assert len(loader.image_indices) == views
    monkeypatch.setattr("nerfstudio.utils.comms.get_world_size", lambda: world_size)
    shares = []
    for rank in range(world_size):
        monkeypatch.setattr("nerfstudio.utils.comms.get_rank", lambda rank=rank: rank)
        shares.append([int(batch["image_idx"]) for _, batch in own_views(loader)])
    if world_size <= views:
        assert sorted(sum(shares, [])) == list(range(views)) and all(shares)
    else:
        assert shares == [list(range(views))] * world_size


# ns-eval and ns-render on a trained run


def strict_json(path: Path) -> dict:
    def refuse(constant: str):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def truth_of(scene: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((scene / "test/label").glob("*.png"))])


def views_of(pipeline) -> list:
    """Cameras and batches of the test views."""
    return list(pipeline.datamanager.fixed_indices_eval_dataloader)


def test_ns_eval_writes_the_documented_keys(test_results, small_town):
    results = strict_json(test_results)["results"]
    names = ClassTable.load(small_town / "classes.json").names
    present = {names[index] for index in np.unique(truth_of(small_town)) if index != IGNORE_INDEX}
    own = {key for key in results if not key.endswith("_std") and key not in OF_NERFSTUDIO}
    classes = {key.removeprefix("iou/") for key in own if key.startswith("iou/")}
    observed = {key.removeprefix("observed/iou/") for key in own if key.startswith("observed/iou/")}
    assert own == {
        "psnr",
        "psnr_neutral",
        "ssim",
        *SUMMARY,
        *(f"observed/{key}" for key in SUMMARY),
        *(f"iou/{name}" for name in classes),
        *(f"observed/iou/{name}" for name in observed),
    }
    assert present <= classes <= set(names) and present <= observed <= set(names)
    fractions = [results[key] for key in own - {"psnr", "psnr_neutral"}]
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in fractions)
    assert len(fractions) == len(own) - 2 and 5 < results["psnr_neutral"] < results["psnr"] + 0.5 < 60


def test_scores_of_ns_eval_are_those_of_the_rendered_label_images(test_results, rendered_views, small_town):
    table = ClassTable.load(small_town / "classes.json")
    index = {color: position for position, color in enumerate(table.colors)}
    images = [np.asarray(Image.open(path)) for path in sorted((rendered_views / "semantics_colormap").glob("*.png"))]
    predicted = [index[tuple(color)] for color in np.stack(images).reshape(-1, 3).tolist()]
    expected = slow_scores(predicted, truth_of(small_town).reshape(-1).tolist(), table.names)
    results = strict_json(test_results)["results"]
    found = {key: value for key, value in results.items() if key.startswith("iou/") or key in SUMMARY}
    assert found == pytest.approx(expected, abs=1e-9)


@torch.no_grad()
def test_observed_scores_are_those_with_the_photos_colors(test_results, fast_pipeline, small_town):
    names = ClassTable.load(small_town / "classes.json").names
    model, predicted = fast_pipeline.model.eval(), []
    for camera, batch in views_of(fast_pipeline):
        rays = camera.generate_rays(camera_indices=0, keep_shape=True).flatten()
        level, photo = model.render(rays)[-1], batch["image"]
        photo = find_exposure(level.rgb.clamp(0.0, 1.0).view(photo.shape), photo).neutral(photo)
        logits = model.fusion.of_rays(model.fusion.render(level), photo.reshape(-1, 3))
        logits = model.fusion.with_image(logits.view(*photo.shape[:2], -1), photo, is_photo=True)
        predicted += logits.argmax(dim=-1).flatten().tolist()
    expected = slow_scores(predicted, truth_of(small_town).reshape(-1).tolist(), names)
    results = strict_json(test_results)["results"]
    found = {key.removeprefix("observed/"): value for key, value in results.items() if key.startswith("observed/")}
    assert found == pytest.approx(expected, abs=2e-4)  # single rays may tip over where chunks are cut otherwise


def test_observed_colors_differ_from_rendered_ones(test_results):
    results = strict_json(test_results)["results"]
    assert any(results[key] != results[f"observed/{key}"] for key in SUMMARY)


@torch.no_grad()
def test_classifying_with_the_rendered_color_gives_the_rendered_logits(fast_pipeline):
    model = fast_pipeline.model.eval()
    camera, _ = views_of(fast_pipeline)[0]
    with model.keeping_ray_features():
        outputs = model.get_view(camera)
    logits = model.classify_observed(outputs, outputs["rgb"])
    torch.testing.assert_close(logits, outputs["semantics_logits"], atol=1e-4, rtol=1e-4)
    assert set(model.get_view(camera)) < set(outputs)  # otherwise there is nothing extra


@torch.no_grad()
def test_what_is_shown_hardly_differs_from_what_is_computed(fast_pipeline):
    """Logits have four channels at least and no ties; all else is the same. What is scored is what is computed."""
    model = fast_pipeline.model.eval()
    camera, _ = views_of(fast_pipeline)[0]
    shown, computed = model.get_outputs_for_camera(camera), model.get_view(camera)
    with model.scoring():
        scored = model.get_outputs_for_camera(camera)
    logits = shown.pop("semantics_logits")[..., : len(model.class_names)]
    assert not torch.equal(logits, computed["semantics_logits"])
    torch.testing.assert_close(logits, computed["semantics_logits"], atol=1.1e-3, rtol=0)
    assert shown.keys() | {"semantics_logits"} == computed.keys() < scored.keys()
    assert all(torch.equal(values, computed[name]) for name, values in shown.items())
    assert all(torch.equal(values, scored[name]) for name, values in computed.items())


def test_psnr_is_the_mean_over_the_views(test_results, rendered_views, small_town):
    values = []
    for path in sorted((rendered_views / "rgb").glob("*.png")):
        rendered, photo = (
            np.asarray(Image.open(file).convert("RGB"), dtype=float) / 255
            for file in (path, small_town / "test/rgb" / path.name)
        )
        values.append(-10 * math.log10(((rendered - photo) ** 2).mean()))
    assert strict_json(test_results)["results"]["psnr_neutral"] == pytest.approx(np.mean(values), abs=0.02)


def test_before_the_labels_only_colors_are_scored(small_town, make_trainer):
    metrics = make_trainer(small_town, 5, 5).pipeline.get_average_eval_image_metrics(get_std=True)
    assert {key for key in metrics if not key.endswith("_std")} == {"psnr", "psnr_neutral", "ssim", *OF_NERFSTUDIO}
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_single_test_view_gives_numbers_too(tmp_path, make_trainer, step_trainer):
    """The deviation over one view is not a number, which is no JSON."""
    config = TownConfig(seed=0, image_size=32, train_views=8, validation_views=1, test_views=1, labelled_views=2)
    trainer = make_trainer(make_town(config, tmp_path / "town"), 1, 2)
    step_trainer(trainer, range(2))
    metrics = trainer.pipeline.get_average_eval_image_metrics(get_std=True)
    assert "miou" in metrics
    json.dumps(metrics, allow_nan=False)


def test_views_without_labels_are_rendered_and_scored_by_color_alone(small_town, tmp_path, make_trainer, step_trainer):
    """Own photos: labels are on training views only."""
    import shutil

    folder = shutil.copytree(small_town, tmp_path / "unlabelled")
    for split in ("validation", "test"):
        shutil.rmtree(folder / split / "label")
    trainer = make_trainer(folder, 1, 2)
    step_trainer(trainer, range(2))
    metrics = trainer.pipeline.get_average_eval_image_metrics(get_std=True)
    assert {key for key in metrics if not key.endswith("_std")} == {"psnr", "psnr_neutral", "ssim", *OF_NERFSTUDIO}
    _, losses, _ = trainer.pipeline.get_eval_loss_dict(2)
    assert all(torch.isfinite(loss) for loss in losses.values())
