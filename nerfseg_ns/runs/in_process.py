"""Configs of trainings that a program runs by itself, without what belongs to the command ns-train."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TypeVar

from nerfstudio.engine.trainer import TrainerConfig

from nerfseg_ns.core.device import device_type

Config = TypeVar("Config", bound=TrainerConfig)


def in_process(method: Config, scene: Path, output_dir: Path, experiment: str, run: str) -> Config:
    """A method's config for training on a scene in this process, on the device that there is.

    Args:
        method: its config; left as it is.
        scene: to learn.
        output_dir: for the run, which lies in `output_dir/experiment/METHOD/run`.
        experiment: name of the folder.
        run: name of the folder.
    """
    config = deepcopy(method)
    config.data = config.pipeline.datamanager.data = scene
    config.output_dir, config.experiment_name, config.timestamp = output_dir, experiment, run
    config.machine.device_type = device_type()
    config.vis = "none"  # neither viewer nor event files
    config.logging.local_writer.enable = False  # its table moves the cursor, as progress bars do
    return config
