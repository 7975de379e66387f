"""`nerfseg bench` as users run it, in a tiny form, and the figures that it is made of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.pictures import pixels_of
from PIL import Image

from nerfseg_ns.bench.config import QUICK_SERIES, BenchConfig
from nerfseg_ns.bench.folder import BenchFolder, read_results
from nerfseg_ns.bench.run import run_bench
from nerfseg_ns.errors import UserError
from nerfseg_ns.measurement.timing import Measured, take_turns
from nerfseg_ns.measurement.units import amount

pytestmark = pytest.mark.slow

VARIANTS = ["paper", "nerfseg", "nerfseg-fast", "nerfseg-fast-plain"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> BenchFolder:
    """Folder of a quick bench, made by the command."""
    place = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "nerfseg_ns.cli", "bench", "--quick", "--output-dir", "my bench"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(place / "my bench" / "bench.png") in done.stdout
    return BenchFolder(place / "my bench")


@pytest.fixture(scope="module")
def results(bench) -> dict:
    return read_results(bench.results)


def test_every_method_has_every_figure(results):
    figures = results["methods"]["figures"]
    for name in ("stage1_step", "stage2_step", "stage2_first", "map", "start_up", "memory_stage1", "memory_stage2"):
        assert list(figures[name]) == VARIANTS, name
        for variant in VARIANTS:
            assert all(value > 0 for value in Measured.of(figures[name][variant]).values), (name, variant)
    assert all(10**8 < Measured.of(m).median < 10**10 for m in figures["memory_stage2"].values())


def test_a_share_of_the_map_is_scaled_up(results):
    maps = {variant: Measured.of(m) for variant, m in results["methods"]["figures"]["map"].items()}
    assert maps["paper"].timed_share == maps["nerfseg"].timed_share == (4 / 32) ** 2  # every eighth pixel both ways
    assert maps["nerfseg-fast"].timed_share == 1.0
    assert results["methods"]["agreement"].keys() == {"nerfseg", "nerfseg-fast"}
    assert results["methods"]["agreement"]["nerfseg"] > 0.5  # the networks are the same


def test_growth_is_measured_at_every_value(results):
    for series, values in QUICK_SERIES.items():
        assert [point["x"] for point in results["growth"][series]] == list(values), series
    for series in ("rays", "samples", "classes"):
        for point in results["growth"][series]:
            assert {"stage1_step", "stage2_step", "stage2_first", "map"} <= set(point["figures"])
    for series in ("views", "image_size"):
        for point in results["growth"][series]:
            assert {"start_up", "stage1_step", "stage2_step", "memory_stage2"} <= set(point["figures"])


def test_quality_is_a_curve_over_training_time(results):
    (training,) = results["quality"]
    assert (training["variant"], training["seed"]) == ("nerfseg-fast", 0)
    for stage, steps in (("implicit", 30), ("semantic", 20)):
        marks = training["stages"][stage]
        assert len(marks) > 1 and marks[-1]["step"] == steps
        assert all(first["seconds"] < second["seconds"] for first, second in zip(marks, marks[1:]))
    times, last = training["times"], training["stages"]["semantic"][-1]
    assert 0 < times["stage2_to_90"] <= times["stage2_to_99"] <= times["stage2"] == last["seconds"]
    reached = [m["seconds"] for m in training["stages"]["semantic"] if m["score"] >= 0.9 * last["score"]]
    assert times["stage2_to_90"] == reached[0]
    assert times["new_labels_to_90"] == times["stage2_to_90"] + training["reading_labels"] > times["stage2_to_90"]
    assert 0 <= training["scores"]["miou"] <= 1


def test_machine_options_and_nothing_else_are_left(bench, results):
    assert results["finished"] and results["machine"]["cores"] == os.cpu_count()
    assert results["machine"]["device"] in ("cpu", "cuda") and results["machine"]["torch_threads"] >= 1
    assert results["config"]["quick"] and results["config"]["town"]["image_size"] == 32
    assert {path.name for path in bench.root.iterdir()} == {"bench.json", "bench.md", "bench.png", "towns", "runs"}


def test_tables_and_figure(bench, results):
    text = bench.tables.read_text(encoding="utf-8")
    measured = Measured.of(results["methods"]["figures"]["stage2_step"]["nerfseg-fast"])
    assert f"| nerfseg-fast | {amount(measured.median, 's')} |" in text
    assert "16 pixels of the map were timed" in text and "before" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 40
    assert min(Image.open(bench.figure).size) > 1000
    for color in ("#8a929e", "#1f5fa8", "#c8453c", "#e3a08f", "#c99a2e", "#2f8f6b"):  # of variants, and of what grows
        assert pixels_of(bench.figure, color) > 100


def test_another_bench_stands_beside_it(bench, results, tmp_path):
    before = json.loads(bench.results.read_text())
    for measured in before["methods"]["figures"]["stage2_step"].values():
        measured["rounds"] = [[4 * value for value in values] for values in measured["rounds"]]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(before))
    copy = shutil.copytree(bench.root, tmp_path / "copy")
    run_bench(BenchConfig(output_dir=copy, redraw=True, compare=old))
    text = (copy / "bench.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| Stage 2, a step \| paper .*$", text, re.MULTILINE)
    measured = Measured.of(results["methods"]["figures"]["stage2_step"]["paper"])
    assert row.endswith(f"| {amount(4 * measured.median, 's')} | 4 x |")
    assert (copy / "bench.png").read_bytes() != bench.figure.read_bytes()
    assert (copy / "bench.json").read_bytes() == bench.results.read_bytes()


def test_a_finished_bench_is_kept(bench, tmp_path):
    with pytest.raises(UserError, match="finished bench.*--overwrite"):
        BenchFolder(bench.root).prepare(overwrite=False)
    BenchFolder(bench.root).prepare(overwrite=True)
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UserError, match="something else"):
        run_bench(BenchConfig(output_dir=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rays": 0, "rounds": 0}, "--rays is 0.*--rounds is 0"),
        ({"parts": ()}, "--parts names nothing"),
        ({"compare": Path("missing.json")}, "Cannot read missing.json"),
        ({"fast_run": Path("nowhere")}, "No checkpoint"),
    ],
)
def test_bad_options_are_told_before_anything_is_written(options, message, tmp_path):
    with pytest.raises(UserError) as error:
        run_bench(BenchConfig(output_dir=tmp_path / "out", **options))
    assert re.search(message, error.value.text(), re.DOTALL)
    assert not (tmp_path / "out").exists()


def test_a_file_of_something_else_is_no_bench(tmp_path):
    (tmp_path / "metrics.json").write_text('{"miou": 0.7}')
    with pytest.raises(UserError, match="not the bench.json"):
        read_results(tmp_path / "metrics.json")


def test_jobs_take_turns():
    calls = []
    jobs = {name: lambda name=name: calls.append(name) for name in "ab"}
    measured = take_turns(jobs, rounds=2, round_seconds=1e9, device="cpu")
    assert calls == ["a"] * 11 + ["b"] * 11 + ["a"] * 10 + ["b"] * 10  # the first of each warms up
    assert [len(values) for values in measured["b"].rounds] == [10, 10]
    calls.clear()
    take_turns(jobs, rounds=1, round_seconds=1e-12, device="cpu")
    assert calls == ["a", "a", "b", "b"]


def test_ratio_is_that_of_medians_with_the_range_of_the_rounds():
    slow, fast = Measured([[10.0, 12.0, 50.0], [8.0]]), Measured([[2.0], [1.0, 4.0, 4.0]])
    # medians of all values: 11 and 3; of the rounds: 12 / 2 = 6 and 8 / 4 = 2
    assert slow.times(fast) == pytest.approx((11 / 3, 2.0, 6.0))
    assert (slow.median, slow.range) == (11.0, (8.0, 50.0))
    slow.scale_up(0.25)
    assert (slow.rounds, slow.timed_share) == ([[40.0, 48.0, 200.0], [32.0]], 0.25)
    assert Measured.of(json.loads(json.dumps(slow.to_json()))) == slow
