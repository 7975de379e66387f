"""`nerfseg compare`: views are examined, and what the jobs found becomes tables, a figure and a sheet."""

from __future__ import annotations

import csv
import json
from io import StringIO
from math import nan
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from helpers.comparisons import with_truth
from helpers.pictures import pixels_of
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, save_image, write_tree
from PIL import Image

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.evaluator import Evaluator
from nerfseg_ns.compare.figure import draw
from nerfseg_ns.compare.folder import RESULT, VERSION, CompareFolder
from nerfseg_ns.compare.method import ComparedMethod, Job, TrainingBudget
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.plan import plan_jobs
from nerfseg_ns.compare.results import Comparison, Row, gather
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.compare.scenes import enter_scenes
from nerfseg_ns.compare.sheet import write_sheet
from nerfseg_ns.compare.table import tables, values
from nerfseg_ns.evaluation.prediction import Prediction

CONFIDENCE = {"rendered": 0.4, "observed": 0.8}


class Guesser(ComparedMethod):
    """Says of every pixel what depends on the view and the color alone."""

    def train(self) -> None:
        pass

    def predict(self, split: str, view: int) -> dict[str, Prediction]:
        return {
            color: Prediction(guess(split, view, color), np.full((HEIGHT, WIDTH), CONFIDENCE[color], np.float32))
            for color in self.job.info.colors
        }


def guess(split: str, view: int, color: str) -> np.ndarray:
    seed = [ord(letter) for letter in f"{split}{view}{color}"]
    return np.random.default_rng(seed).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)


def slow_accuracy(views: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Share of right pixels over views, one by one."""
    pairs = [pair for labels, truth in views for pair in zip(labels.ravel(), truth.ravel())]
    return sum(label == true for label, true in pairs) / len(pairs)


def examine(scene: Path, folder: Path, method: str = "fast", maps_all: bool = False) -> dict:
    """What an evaluator finds of the guesser; its files lie in the folder."""
    folder.mkdir(parents=True)
    job = Job(method, METHODS[method], ComparedScene(scene), 0, TrainingBudget(), folder)
    evaluator = Evaluator(Guesser(job), "cpu")
    evaluator.score_test_views()
    evaluator.score_unlabelled(maps_all)
    return json.loads(json.dumps(evaluator.result()))


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_views_are_scored_by_color_and_kept(tmp_path):
    scene = with_truth(write_tree(tmp_path / "tree"))  # four training views, 0 and 2 labelled; test views 6 and 7
    found = examine(scene, tmp_path / "job")
    for color in ("rendered", "observed"):
        views = [(guess("test", view, color), label_array(6 + view)) for view in range(2)]
        assert found["scores"][f"{color}/total_accuracy"] == pytest.approx(slow_accuracy(views))
        assert found["scores"][f"{color}/calibration_error"] == pytest.approx(
            abs(slow_accuracy(views) - CONFIDENCE[color]), abs=1e-6
        )
        assert np.array(found["confusion"][color]).sum() == 2 * HEIGHT * WIDTH
    views = [(guess("train", view, "observed"), label_array(view)) for view in (1, 3)]
    assert found["scores"]["propagated/total_accuracy"] == pytest.approx(slow_accuracy(views))
    assert found["propagated_color"] == "observed" and found["predict_seconds"] > 0
    stems = {"observed": ("0006", "0007"), "rendered": ("0006", "0007"), "unlabelled": ("0001", "0003")}
    assert files_in(tmp_path / "job") == [
        f"{place}/{stem}{end}.png" for place in stems for stem in stems[place] for end in ("-confidence", "")
    ]
    labels = Image.open(tmp_path / "job/rendered/0007.png")
    assert (np.asarray(labels) == guess("test", 1, "rendered")).all()
    assert (np.asarray(labels.convert("RGB")) == TABLE.color_array[guess("test", 1, "rendered")]).all()
    assert (np.asarray(Image.open(tmp_path / "job/unlabelled/0003-confidence.png")) == 204).all()  # 0.8 * 255


def test_photos_of_unknown_truth_are_mapped_where_that_is_asked_for(tmp_path):
    scene = write_tree(tmp_path / "tree")
    found = examine(scene, tmp_path / "asked", maps_all=True)
    assert not any(name.startswith("propagated") for name in found["scores"])
    assert {"unlabelled/0001.png", "unlabelled/0003.png"} < set(files_in(tmp_path / "asked"))
    examine(scene, tmp_path / "not-asked")
    assert not (tmp_path / "not-asked/unlabelled").exists()


def test_a_method_without_photos_labels_training_photos_by_the_rendered_color(tmp_path):
    found = examine(with_truth(write_tree(tmp_path / "tree")), tmp_path / "job", method="transfer")
    views = [(guess("train", view, "rendered"), label_array(view)) for view in (1, 3)]
    assert found["propagated_color"] == "rendered" and list(found["confusion"]) == ["rendered", "propagated"]
    assert found["scores"]["propagated/total_accuracy"] == pytest.approx(slow_accuracy(views))


# Tables


def row(scene: str, method: str, color: str, seed: int, miou: float, labels: int = 0, **scores: float) -> Row:
    return Row(scene, method, color, seed, labels, labels or 4, {"miou": miou, **scores})


def table_after(text: str, title: str) -> dict[tuple[str, str], dict[str, str]]:
    """Cells of the table below a title, by method and color, then by column."""
    lines = [line for line in text.split(f"## {title}")[1].split("\n##")[0].splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(cells[0], cells[1]): dict(zip(header[2:], cells[2:])) for cells in rows}


ROWS = [
    row("a", "unet", "observed", 0, 0.30, train_seconds=90, calibration_error=0.10),
    row("a", "unet", "observed", 1, 0.40, train_seconds=110, calibration_error=0.12),
    row("b", "unet", "observed", 0, 0.50, train_seconds=100, calibration_error=0.11),
    row("b", "unet", "observed", 1, 0.60, train_seconds=100, calibration_error=0.11),
    *(row(scene, "fast", "rendered", seed, 0.4, calibration_error=0.2) for scene in "ab" for seed in (0, 1)),
    *(row(scene, "fast", "observed", seed, 0.44, propagated_miou=0.7) for scene in "ab" for seed in (0, 1)),
    *(row(scene, "unet+truth", "observed", seed, 0.9) for scene in "ab" for seed in (0, 1)),
]
METHODS_SHOWN = ("unet", "fast", "unet+truth")


def test_means_spreads_and_the_best():
    comparison = Comparison(ROWS, METHODS_SHOWN, ["a", "b"], [0], 2)
    text = tables(comparison, "by hand")
    unet, fast, truth = (METHODS[name].title for name in METHODS_SHOWN)
    found = table_after(text, "mIoU, per cent")
    assert list(found) == [(unet, "observed"), (fast, "rendered"), (fast, "observed"), (truth, "observed")]
    every = [0.3, 0.4, 0.5, 0.6]
    assert found[unet, "observed"] == {
        "a": f"35.0 ± {100 * stdev([0.3, 0.4]):.1f}",
        "b": f"**55.0 ± {100 * stdev([0.5, 0.6]):.1f}**",
        "all": f"**{100 * fmean(every):.1f} ± {100 * stdev(every):.1f}**",
    }
    assert found[fast, "observed"]["a"] == "**44.0 ± 0.0**"
    assert found[truth, "observed"]["all"] == "90.0 ± 0.0"  # given the truth, it cannot be the best
    others = table_after(text, "Other scores")
    assert others[unet, "observed"] == {
        "calibration error": "**11.0**",  # the least is the best
        "mIoU, unlabelled photos": "–",
        "training": "100 s",
    }
    assert others[fast, "observed"]["mIoU, unlabelled photos"] == "70.0"
    assert "## How it was made\n\nby hand" in text and "number of labelled photos, per cent" not in text


def test_a_line_with_jobs_missing_is_marked_and_never_the_best():
    comparison = Comparison(ROWS[1:], METHODS_SHOWN, ["a", "b"], [0], 2)
    found = table_after(tables(comparison, ""), "mIoU, per cent")
    assert found["U-Net (*)", "observed"]["all"].startswith("50.0")
    assert found[METHODS["fast"].title, "observed"]["all"] == "**44.0 ± 0.0**"


def test_scores_by_the_number_of_labels():
    rows = [row("a", "unet", "observed", 0, value, labels) for labels, value in ((1, 0.2), (2, 0.3), (0, 0.5))]
    comparison = Comparison(rows, ("unet",), ["a"], [0, 2, 1], 1)
    text = tables(comparison, "")
    assert table_after(text, "mIoU, per cent")["U-Net", "observed"] == {"a": "50.0"}
    by_labels = table_after(text, "mIoU by the number of labelled photos, per cent")
    assert by_labels["U-Net", "observed"] == {"1": "20.0", "2": "30.0", "4": "50.0"}


def test_an_unfinished_comparison_is_about_the_label_counts_that_are_there(tmp_path):
    rows = [row("a", "unet", "observed", 0, value, labels) for labels, value in ((1, 0.2), (2, 0.3))]
    comparison = Comparison(rows, ("unet", "fast"), ["a"], [1, 2, 4, 0], 1)
    found = table_after(tables(comparison, ""), "mIoU, per cent")
    assert found == {("U-Net", "observed"): {"a": "30.0"}} and comparison.labels == [1, 2]
    draw(comparison, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").exists()


def test_a_score_that_is_no_number_is_told_as_such():
    rows = [row(scene, "unet", "observed", 0, 0.5, calibration_error=error) for scene, error in zip("ab", (nan, 0.1))]
    others = table_after(tables(Comparison(rows, ("unet",), ["a", "b"], [0], 1), ""), "Other scores")
    assert "nan" in others["U-Net", "observed"]["calibration error"]


def test_classes_are_averaged_where_they_occur():
    rows = [
        row("a", "unet", "observed", 0, 0.5, **{"iou/Road": 0.2, "iou/Tree": 0.8}),
        row("b", "unet", "observed", 0, 0.5, **{"iou/Road": 0.4}),
    ]
    found = table_after(tables(Comparison(rows, ("unet",), ["a", "b"], [0], 1), ""), "IoU of each class, per cent")
    assert found["U-Net", "observed"] == {"Road": "30.0", "Tree": "80.0"}


def test_values_come_back_from_csv():
    found = list(csv.DictReader(StringIO(values(Comparison(ROWS, METHODS_SHOWN, ["a", "b"], [0], 2)))))
    assert len(found) == len(ROWS)
    for line, expected in zip(found, ROWS):
        assert (line["scene"], line["method"], line["color"]) == (expected.scene, expected.method, expected.color)
        assert {name: float(line[name]) for name in expected.scores} == expected.scores
        assert all(line[name] == "" for name in ("propagated_miou", "train_seconds") if name not in expected.scores)


@pytest.mark.parametrize("labels", [[0], [0, 2, 1]])
def test_figure_shows_every_method(labels, tmp_path):
    rows = [
        row("a", method, color, seed, 0.3 + 0.01 * seed, count)
        for method in METHODS
        for color in METHODS[method].colors
        for seed in (0, 1)
        for count in labels
    ]
    draw(Comparison(rows, tuple(METHODS), ["a"], labels, 2), tmp_path / "figure.png")
    picture = np.asarray(Image.open(tmp_path / "figure.png"))
    assert picture.shape[0] > (1400 if len(labels) > 1 else 700)
    for color in ("#1f5fa8", "#d98c1f"):  # bars of both colors
        assert pixels_of(tmp_path / "figure.png", color) > 5000


# From the jobs' folders


def write_result(folder: CompareFolder, job, **changes) -> None:
    """A finished job with the guesser's result."""
    found = examine(job.scene.folder, folder.of(job), job.method)
    costs = {"all_train_seconds": 7.5, "memory_bytes": 10**9, "labelled": 2, "maps_all": False}
    result = {"version": VERSION, "digest": job.digest, **costs, **found, **changes}
    (folder.of(job) / RESULT).write_text(json.dumps(result))


def test_finished_jobs_become_rows_and_a_sheet(tmp_path):
    scene = with_truth(write_tree(tmp_path / "tree"))
    for path in (scene / "test" / "label").iterdir():  # a truth without its last class
        save_image(path, label_array(0, classes=2))
    config = CompareConfig(methods=("unet", "fast"), seeds=(0, 1))
    scene_info = enter_scenes([scene], config)
    jobs, folder = plan_jobs(scene_info, config), CompareFolder(tmp_path / "out")
    finished = [job for job in jobs if job.method is not None and job.name != "tree/unet-seed-1"]
    for job in finished:
        write_result(folder, job)
    comparison = gather(folder, jobs, config)
    keys = [(row.method, row.color, row.seed) for row in comparison.rows]
    fast = [("fast", color, seed) for seed in (0, 1) for color in ("rendered", "observed")]
    assert keys == [("unet", "observed", 0), *fast]
    result = folder.result(finished[1])
    first = comparison.rows[1]
    assert first.scores["miou"] == result["scores"]["rendered/miou"]
    assert first.scores["train_seconds"] == 7.5 and first.labelled == 2
    assert "propagated_miou" not in first.scores
    assert comparison.rows[2].scores["propagated_miou"] == result["scores"]["propagated/miou"]
    assert comparison.classes == ["Building", "Road"]  # Vegetation is predicted, but in no truth
    assert not comparison.is_complete(("unet", "observed")) and comparison.is_complete(("fast", "rendered"))

    write_sheet(folder, scene_info[0], jobs, comparison)
    sheet = np.asarray(Image.open(folder.sheet("tree")).convert("RGB"))
    assert sheet.shape[1] > 5 * 190 and sheet.shape[0] > 2 * 127  # photo, truth and three predictions; two views
    for color in TABLE.colors:
        assert (sheet == color).all(axis=-1).sum() > 2000


def test_a_result_of_other_options_is_no_row(tmp_path):
    scene = with_truth(write_tree(tmp_path / "tree"))
    config = CompareConfig(methods=("unet",))
    jobs, folder = plan_jobs(enter_scenes([scene], config), config), CompareFolder(tmp_path / "out")
    write_result(folder, jobs[0], digest="another")
    assert gather(folder, jobs, config).rows == [] and folder.result(jobs[0]) is None
    (folder.of(jobs[0]) / RESULT).unlink()
    write_result(CompareFolder(tmp_path / "other"), jobs[0], version=VERSION - 1)
    assert CompareFolder(tmp_path / "other").result(jobs[0]) is None
