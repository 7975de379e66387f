"""Runs functions in two processes that train together: nerfstudio's own worker, on CPUs with gloo."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest import mock

import torch
import torch.multiprocessing as mp

WORLD_SIZE = 2
PRELOADED = ["nerfstudio.scripts.train", "nerfseg_ns.pipeline", "torch.utils.tensorboard", "torchmetrics"]
"""Imported once for all processes: it takes longer than what they do."""


def run_together(function: Callable, config, folder: Path, machines: int = 1) -> None:
    """Runs `function(local_rank, world_size, config, global_rank)` in two processes; raises what one of them raises.

    Args:
        function: at the top of a module that the processes can import; nerfstudio's `train_loop` is one such.
        config: handed over to it.
        folder: empty, for the file by which the processes find each other.
        machines: 1, or 2 for one process on each of two machines.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    work = function, config, f"file://{folder}/meeting-point", machines
    mp.start_processes(_work, work, nprocs=WORLD_SIZE, start_method="forkserver")


def _work(process: int, function: Callable, config, url: str, machines: int) -> None:
    """nerfstudio's worker insists on GPUs, for gloo too: until the processes have met, there seem to be some."""
    from nerfstudio.scripts.train import _distributed_worker

    torch.set_num_threads(1)
    local_rank, machine_rank = (process, 0) if machines == 1 else (0, process)
    gpus = [mock.patch("torch.cuda.is_available", lambda: True), mock.patch("torch.cuda.device_count", lambda: 2)]

    def run(*call):
        for patch in gpus:
            patch.stop()
        function(*call)

    for patch in gpus:
        patch.start()
    per_machine, timeout = WORLD_SIZE // machines, timedelta(seconds=120)
    _distributed_worker(local_rank, run, WORLD_SIZE, per_machine, machine_rank, url, config, timeout, "cpu")
