"""The comparison, from the scenes to the tables."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.folder import CompareFolder
from nerfseg_ns.compare.plan import PlannedJob, plan_jobs
from nerfseg_ns.compare.report import Report
from nerfseg_ns.compare.scenes import enter_scenes
from nerfseg_ns.compare.schedule import Schedule, unfinished
from nerfseg_ns.core.device import device_type
from nerfseg_ns.core.processes import usable_cores
from nerfseg_ns.errors import UserError
from nerfseg_ns.measurement.units import counted


def run_compare(scenes: Sequence[Path], config: CompareConfig) -> Dict[str, str]:
    """Runs the jobs that are not finished in the folder yet, and writes the tables and pictures of all that are.

    Args:
        scenes: their folders.
        config: what is compared.

    Returns:
        Names of the jobs that failed, with the reason.

    Raises:
        UserError: an option makes no sense, a scene cannot be used, or the folder holds something else.
    """
    config.check(scenes)
    infos, folder = enter_scenes(scenes, config), CompareFolder(config.output_dir)
    jobs = plan_jobs(infos, config)
    report, waiting = Report(folder, infos, jobs, config), unfinished(folder, jobs, config.methods)
    if config.redraw:
        _require_some(folder, jobs)
    else:
        folder.prepare()
        report.write_record()
    failed = {} if config.redraw else _run(folder, jobs, waiting, config)
    report.write()
    _print_results(folder, failed)
    return failed


def _require_some(folder: CompareFolder, jobs: Sequence[PlannedJob]) -> None:
    if all(folder.result(job) is None for job in jobs):
        raise UserError(
            f"There is nothing to draw: no job of this comparison is finished in {folder.root}. Name its folder with "
            "--output-dir, and the scenes and options that it was made with."
        )


def _run(
    folder: CompareFolder, jobs: Sequence[PlannedJob], waiting: Sequence[PlannedJob], config: CompareConfig
) -> Dict[str, str]:
    """Runs the jobs that wait; tells how to go on where it is interrupted."""
    processes, threads = share_cores(config.processes, len(waiting))
    done = sum(folder.result(job) is not None for job in jobs)
    print(f"{counted(len(waiting), 'job')} to run, {processes} side by side; {done} finished before.", flush=True)
    schedule = Schedule(folder, waiting, processes, threads)
    try:
        with _terminated_as_interrupted():
            schedule.run()
    except KeyboardInterrupt:
        sys.exit("\nnerfseg: interrupted. The same command goes on where it stopped; finished jobs are kept.")
    return schedule.failed


def share_cores(wanted: int, jobs: int) -> Tuple[int, int]:
    """How many processes run side by side, and how many threads each has.

    Args:
        wanted: processes; 0 for one a core, or a single one where there is a GPU.
        jobs: that wait.
    """
    cores = usable_cores()
    processes = wanted or (1 if device_type() == "cuda" else cores)
    processes = max(1, min(processes, jobs))
    return processes, max(1, cores // processes)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Within it, being told to end (as batch systems do it) ends the jobs too, as Ctrl-C does."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_results(folder: CompareFolder, failed: Dict[str, str]) -> None:
    """Plain lines, so that paths can be copied."""
    lines: List[str] = []
    if folder.tables.exists():
        lines += ["", f"Tables   {folder.tables}", f"Figure   {folder.figure}", f"Values   {folder.record}"]
    if failed:
        lines += ["", f"{counted(len(failed), 'job')} did not finish; the same command tries again:"]
        lines += [f"  {name}: {reason}" for name, reason in failed.items()]
    print("\n".join(lines), flush=True)
