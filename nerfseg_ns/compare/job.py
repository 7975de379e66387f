"""One job of a comparison in a process of its own: `python -m nerfseg_ns.compare.job JOBFILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict

import torch

from nerfseg_ns.compare.folder import RESULT, VERSION, read_result
from nerfseg_ns.compare.jobfile import JobFile
from nerfseg_ns.console.warning_filters import filter_warnings
from nerfseg_ns.core.device import device_type
from nerfseg_ns.core.files import write_text
from nerfseg_ns.core.seeds import seed_everything
from nerfseg_ns.errors import UserError
from nerfseg_ns.measurement.machine import machine_facts
from nerfseg_ns.measurement.resources import peak_memory_bytes
from nerfseg_ns.measurement.timing import seconds_of

CONFIG = "config.txt"


def run_job(job: JobFile) -> None:
    """Does a job; the last that it writes is result.json, whole or not at all.

    Args:
        job: what to do.

    Raises:
        UserError: the scene cannot be used.
    """
    torch.set_num_threads(job.threads)
    seed_everything(job.seed)
    device = device_type()
    found = _learn_geometry(job, device) if job.method is None else _train_and_score(job, device)
    result = {"version": VERSION, "digest": job.digest, "maps_all": job.maps_all, **found, **_costs(device)}
    write_text(Path(job.folder) / RESULT, json.dumps(result, indent=1) + "\n")


def _learn_geometry(job: JobFile, device: str) -> Dict[str, Any]:
    """Stage 1 of a geometry."""
    from nerfseg_ns.compare.fields.geometry import train_geometry

    folder, scene = Path(job.folder), job.open_scene()
    seconds, run = seconds_of(lambda: train_geometry(scene, job.geometry, job.seed, job.budget, folder), device)
    return {"run": str(run.relative_to(folder)), "train_seconds": seconds, "all_train_seconds": seconds}


def _train_and_score(job: JobFile, device: str) -> Dict[str, Any]:
    """A method, from its training to its scores."""
    from nerfseg_ns.compare.evaluator import Evaluator
    from nerfseg_ns.compare.make_method import make_method

    method = make_method(job.to_job())
    seconds, _ = seconds_of(method.train, device)
    write_text(Path(job.folder) / CONFIG, method.config_text())
    evaluator = Evaluator(method, device)
    evaluator.score_test_views()
    evaluator.score_unlabelled(job.maps_all)
    needs = [read_result(Path(folder))["all_train_seconds"] for folder in (job.stage1, job.maps) if folder is not None]
    return {
        "labelled": len(evaluator.scene.labelled_views),
        "train_seconds": seconds,
        "all_train_seconds": seconds + sum(needs),
        **evaluator.result(),
        "facts": method.facts(),
    }


def _costs(device: str) -> Dict[str, Any]:
    """Peak memory, and the machine that it was on."""
    machine = machine_facts(device)
    del machine["load_average"]  # the jobs beside this one
    gpu = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {"memory_bytes": peak_memory_bytes(), "gpu_memory_bytes": gpu, "machine": machine}


def main() -> None:
    """Entry point; bad input ends with one message and exit status 1."""
    filter_warnings()
    try:
        run_job(JobFile.load(Path(sys.argv[1])))
    except UserError as error:
        sys.exit(f"nerfseg: {error.text()}")


if __name__ == "__main__":
    main()
