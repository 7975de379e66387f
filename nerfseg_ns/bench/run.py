"""The bench, from the town to the figure."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, Optional

from nerfseg_ns.bench.config import BenchConfig
from nerfseg_ns.bench.folder import WORK_PREFIX, BenchFolder, Results, read_results
from nerfseg_ns.console.warning_filters import filter_warnings
from nerfseg_ns.core.files import write_text, write_whole


def run_bench(config: BenchConfig) -> BenchFolder:
    """Measures what was asked for, in this process, and writes bench.json, bench.md and bench.png.

    Args:
        config: of the bench.

    Returns:
        The folder with everything in it.

    Raises:
        UserError: an option makes no sense, or the folder holds something else.
    """
    filter_warnings()
    config.check()
    config, folder = config.resolved(), BenchFolder(config.output_dir)
    before = None if config.compare is None else read_results(config.compare)
    _check_runs(config)
    if config.redraw:
        results = read_results(folder.results)
    else:
        folder.prepare(config.overwrite)
        results = _measure(config, folder)
        folder.write_results({**results, "finished": True})
    _write(results, before, folder)
    print(f"\nTables   {folder.tables}\nFigure   {folder.figure}\nValues   {folder.results}", flush=True)
    return folder


def _check_runs(config: BenchConfig) -> None:
    """Finds the given runs' checkpoints now, not after minutes of work."""
    from nerfseg_ns.training.checkpoints import find_checkpoint

    for run in (config.fast_run, config.nerfseg_run):
        if run is not None:
            find_checkpoint(run)


def _measure(config: BenchConfig, folder: BenchFolder) -> Results:
    """Runs the parts one after the other; bench.json holds those that are done."""
    from nerfseg_ns.console.timed_lines import say_timed
    from nerfseg_ns.core.device import device_type
    from nerfseg_ns.measurement.machine import describe_machine, machine_facts

    start = time.perf_counter()
    results: Results = {"finished": False, "config": _plain(asdict(config)), "machine": machine_facts(device_type())}
    folder.write_results(results)
    say_timed(describe_machine(results["machine"]))
    work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=folder.root))
    try:
        for name, found in _parts(config, folder, work):
            results[name] = found
            results["seconds"] = time.perf_counter() - start
            folder.write_results(results)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return results


def _parts(config: BenchConfig, folder: BenchFolder, work: Path):
    """Yields the name and the results of each part, as they come."""
    from nerfseg_ns.bench.growth import GrowthBench
    from nerfseg_ns.bench.methods import MethodsBench
    from nerfseg_ns.bench.quality import measure_quality
    from nerfseg_ns.bench.trained import trained_fast, trained_nerfseg
    from nerfseg_ns.bench.variants import METHOD_OF

    root, watched, towns = folder.root, [], _make_towns(config, folder)
    town = towns[config.town.seed]
    if "quality" in config.parts:
        watched = measure_quality(config, towns, root)
        yield "quality", [training.to_json() for training in watched]
    methods = {METHOD_OF[variant] for variant in config.methods} if "methods" in config.parts else set()
    trained = {}
    if "nerfseg-fast" in methods or "growth" in config.parts:
        trained["nerfseg-fast"] = trained_fast(config, town, root, watched)
    if "nerfseg" in methods:
        trained["nerfseg"] = trained_nerfseg(config, town, root, work, watched)
    yield "trained", {method: run.origin for method, run in trained.items()}
    folders = {method: run.folder for method, run in trained.items()}
    if "methods" in config.parts:
        yield "methods", MethodsBench(config, town, folders, work).run()
    if "growth" in config.parts:
        yield "growth", GrowthBench(config, town, folders["nerfseg-fast"], work).run()


def _make_towns(config: BenchConfig, folder: BenchFolder) -> Dict[int, Path]:
    """The towns that are learnt, by seed, the bench's own first."""
    from nerfseg_ns.console.quiet import quiet
    from nerfseg_ns.console.timed_lines import say_timed
    from nerfseg_ns.town.make import make_town

    towns, more = {}, config.quality_seeds if "quality" in config.parts else ()
    for seed in dict.fromkeys((config.town.seed, *more)):
        say_timed(f"Making the town of seed {seed}")
        town = replace(config.town, seed=seed)
        with quiet():
            towns[seed] = make_town(town, folder.town(town))
    return towns


def _write(results: Results, before: Optional[Results], folder: BenchFolder) -> None:
    from nerfseg_ns.bench.figure import draw
    from nerfseg_ns.bench.table import tables

    write_text(folder.tables, tables(results, before))
    write_whole(folder.figure, lambda path: draw(results, before, path))


def _plain(value: Any) -> Any:
    """The options as JSON takes them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
