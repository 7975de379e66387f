"""`nerfseg compare` as users run it, with short trainings on a tiny town: what it leaves, and how it goes on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.pictures import pixels_of
from PIL import Image

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.folder import CompareFolder
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.run import run_compare
from nerfseg_ns.evaluation.confusion import segmentation_scores
from nerfseg_ns.labels.classes import ClassTable

pytestmark = pytest.mark.slow

SHOWN = ("fast", "unet+maps")
CONFIG = CompareConfig(methods=SHOWN, implicit_steps=40, semantic_steps=30, cnn_epochs=2)
JOBS = {"nerfseg-fast-stage-1-seed-0", *(f"{method}-seed-0" for method in SHOWN)}


@pytest.fixture(scope="module")
def compared(ns, small_town, tmp_path_factory) -> tuple[CompareFolder, str]:
    """Folder and output of the command."""
    folder = tmp_path_factory.mktemp("compared") / "my comparison"
    lengths = ["--implicit-steps", 40, "--semantic-steps", 30, "--cnn-epochs", 2]
    printed = ns("nerfseg", "compare", small_town, "--output-dir", folder, "--methods", *SHOWN, *lengths)
    return CompareFolder(folder), printed


def results_of(folder: CompareFolder) -> dict[str, dict]:
    """result.json of every job, by its folder's name."""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.root.glob("town/*/result.json")}


def test_every_job_is_finished_and_told_of(compared):
    folder, printed = compared
    assert set(results_of(folder)) == JOBS
    for job in JOBS:
        assert f"town/{job} started" in printed and f"town/{job}: " in printed
    assert "[3/3]" in printed and str(folder.tables) in printed
    left = {"compare.json", "compare.md", "compare.csv", "compare.png", "town"}
    assert {path.name for path in folder.root.iterdir()} == left


def test_scores_are_those_of_the_pictures_that_are_kept(compared, small_town):
    folder, _ = compared
    names = ClassTable.load(small_town / "classes.json").names
    truths = {path.stem: np.asarray(Image.open(path)) for path in (small_town / "test/label").iterdir()}
    for method in SHOWN:
        result = results_of(folder)[f"{method}-seed-0"]
        for color in METHODS[method].colors:
            matrix = np.zeros((len(names), len(names)), int)
            for stem, truth in truths.items():
                predicted = np.asarray(Image.open(folder.root / f"town/{method}-seed-0/{color}/{stem}.png"))
                np.add.at(matrix, (truth[truth != 255], predicted[truth != 255]), 1)
            assert result["confusion"][color] == matrix.tolist()
            for name, value in segmentation_scores(torch.from_numpy(matrix), names).items():
                assert result["scores"][f"{color}/{name}"] == pytest.approx(value)
        assert 0 <= result["scores"]["propagated/miou"] <= 1 and result["labelled"] == 4


def test_what_a_job_leaves_beside_its_scores(compared):
    folder, _ = compared
    for method in SHOWN:
        job = folder.root / f"town/{method}-seed-0"
        result = results_of(folder)[job.name]
        assert len(list((job / "unlabelled").glob("*-confidence.png"))) == 12
        assert (job / "log.txt").exists() and (job / "config.txt").read_text()
        assert 10**8 < result["memory_bytes"] < 10**10 and result["machine"]["torch_threads"] >= 1
        assert 0 < result["train_seconds"] < result["all_train_seconds"]  # all of them need another job
    times = {name: result["all_train_seconds"] for name, result in results_of(folder).items()}
    assert times["unet+maps-seed-0"] > times["fast-seed-0"] > times["nerfseg-fast-stage-1-seed-0"]


def test_tables_agree_with_the_results(compared):
    folder, _ = compared
    results, record = results_of(folder), json.loads(folder.record.read_text())
    assert record["unfinished"] == [] and {name.removeprefix("town/") for name in record["results"]} == JOBS
    assert record["options"]["cnn_epochs"] == 2 and record["scenes"][0]["labelled"] == 4
    text = folder.tables.read_text()
    with folder.values.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["color"]) for row in rows] == [
        (method, color) for method in SHOWN for color in METHODS[method].colors
    ]
    for row in rows:
        scores = results[f"{row['method']}-seed-0"]["scores"]
        miou = scores[f"{row['color']}/miou"]
        assert float(row["miou"]) == miou
        (line,) = [line for line in text.split("## Other")[0].splitlines() if _starts(line, row)]
        assert line.split("|")[3].strip().strip("*") == f"{100 * miou:.1f}"
    assert "--implicit-steps 40 --semantic-steps 30 --cnn-epochs 2" in text and "nerfstudio 1.1.5" in text
    assert min(pixels_of(folder.figure, color) for color in ("#1f5fa8", "#d98c1f")) > 300  # bars of both colors
    assert np.asarray(Image.open(folder.sheet("town"))).shape[1] > 5 * 190


def _starts(line: str, row: dict[str, str]) -> bool:
    return line.startswith(f"| {METHODS[row['method']].title} | {row['color']} |")


def test_it_goes_on_where_it_stopped_and_tells_of_what_fails(compared, small_town, capsys):
    """A result is gone, and a method is added that finds the stage 1 that it needs broken."""
    folder, _ = compared
    before = {path: path.stat().st_mtime_ns for path in folder.root.glob("town/*/result.json")}
    run = folder.root / "town/nerfseg-fast-stage-1-seed-0" / "nerfseg-fast"
    run.rename(run.with_name("moved"))
    (folder.root / "town/unet+maps-seed-0/result.json").unlink()
    failed = run_compare([small_town], replace(CONFIG, output_dir=folder.root, methods=("transfer", *SHOWN)))
    assert set(failed) == {"town/transfer-seed-0"}
    assert "No checkpoint" in failed["town/transfer-seed-0"] and "log.txt" in failed["town/transfer-seed-0"]
    told = capsys.readouterr().out
    assert "2 jobs to run" in told and "1 job did not finish" in told and "mIoU observed" in told
    after = {path: path.stat().st_mtime_ns for path in folder.root.glob("town/*/result.json")}
    assert after.keys() == before.keys()
    assert {path.parent.name for path in before if after[path] != before[path]} == {"unet+maps-seed-0"}
    assert json.loads(folder.record.read_text())["unfinished"] == ["town/transfer-seed-0"]
    text = folder.tables.read_text()
    assert METHODS["transfer"].title not in text and METHODS["unet+maps"].title in text
    run.with_name("moved").rename(run)


def test_redrawing_trains_nothing(compared, small_town, capsys):
    folder, _ = compared
    text = folder.tables.read_text()
    folder.tables.unlink()
    assert run_compare([small_town], replace(CONFIG, output_dir=folder.root, redraw=True)) == {}
    found = folder.tables.read_text()
    assert found.split("## How")[0] == text.split("## How")[0] and "to run" not in capsys.readouterr().out
