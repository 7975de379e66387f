"""The demo, from an empty folder to the report."""

from __future__ import annotations

import json
from typing import Any, Dict

from nerfseg_ns.console.warning_filters import filter_warnings
from nerfseg_ns.core.files import write_text
from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.demo.folder import DemoFolder
from nerfseg_ns.measurement.resources import Laps, peak_memory_bytes

STEPS = ("town", "train", "evaluate", "render")


def run_demo(config: DemoConfig) -> DemoFolder:
    """Makes the town, trains, evaluates, renders and reports, all in this process.

    Args:
        config: of the demo.

    Returns:
        The folder with everything in it.

    Raises:
        UserError: an option makes no sense, or the folder holds something else.
    """
    laps = Laps()
    filter_warnings()
    config.check()
    folder = DemoFolder(config.output_dir)
    if not folder.prepare(config):
        _print(f"This demo is finished in {folder.root} already; --overwrite makes it again.")
        _print_results(folder, json.loads(folder.metrics.read_text(encoding="utf-8")))
        return folder
    _make_town(config, folder, laps)
    _train(config, folder, laps)
    metrics = _evaluate_and_render(config, folder, laps)
    folder.finish(config)
    _print_results(folder, metrics)
    return folder


def _make_town(config: DemoConfig, folder: DemoFolder, laps: Laps) -> None:
    from nerfseg_ns.town.make import make_town

    _announce("town", f"Making the town of seed {config.town.seed}: photos, labels, depth")
    make_town(config.town, folder.town)
    laps.finish("town")


def _train(config: DemoConfig, folder: DemoFolder, laps: Laps) -> None:
    from nerfseg_ns.core.device import device_type
    from nerfseg_ns.demo.train import train, training_config

    run = training_config(config, folder)
    given = min(config.town.labelled_views, config.town.train_views)
    _announce("train", f"Training nerfseg-fast on {device_type()}: {config.town.train_views} photos, {given} labelled")
    train(run, on_stage_end=lambda stage: laps.finish(stage.value))


def _evaluate_and_render(config: DemoConfig, folder: DemoFolder, laps: Laps) -> Dict[str, Any]:
    from nerfseg_ns.demo.camera_path import write_camera_path
    from nerfseg_ns.demo.evaluate import render_test_views, score
    from nerfseg_ns.demo.report import write_report
    from nerfseg_ns.demo.video import render_video
    from nerfseg_ns.runs.load import load_run

    _announce("evaluate", "Loading the checkpoint and scoring the test views")
    pipeline = load_run(folder.run_config)
    metrics: Dict[str, Any] = score(pipeline)
    metrics["depth_median_relative_error"], views = render_test_views(pipeline, folder)
    laps.finish("evaluate")

    _announce("render", "Rendering the label video along a flight that no photo was taken on")
    camera_path = write_camera_path(folder, config.frames, config.town.image_size)
    render_video(pipeline, camera_path, folder)
    laps.finish("render")
    metrics.update(seconds=laps.table(), peak_memory_bytes=peak_memory_bytes())
    write_text(folder.metrics, json.dumps(metrics, indent=1) + "\n")
    table = pipeline.datamanager.eval_dataset.label_maps.table
    write_report(folder, config, metrics, table, views, pipeline.device)
    return metrics


def _announce(step: str, text: str) -> None:
    from nerfstudio.utils.rich_utils import CONSOLE

    CONSOLE.rule(f"[bold]{STEPS.index(step) + 1}/{len(STEPS)} {step}", align="left")
    CONSOLE.print(text)


def _print(text: str = "") -> None:
    print(text, flush=True)


def _print_results(folder: DemoFolder, metrics: Dict[str, Any]) -> None:
    """The figures, what lies where, and the commands to try next: plain lines, so that paths can be copied."""
    from nerfseg_ns.core.device import device_type
    from nerfseg_ns.demo.commands import next_commands
    from nerfseg_ns.demo.summary import summary

    _print()
    for name, value in summary(metrics):
        _print(f"  {name:<34}{value}")
    _print(f"\nReport   {folder.report}\nFigures  {folder.metrics}\nVideo    {folder.video}\n\nWhat to try next:")
    for what, command in next_commands(folder, device_type()):
        _print(f"\n  # {what}\n  {command}")
