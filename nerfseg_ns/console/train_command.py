"""The command that trains on a scene, as it is shown to users, ready for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

DEFAULT_DATAPARSER = "carla-mvs-data"
"""The dataparser that training takes where none is named."""


def train_command(scene: Path, dataparser: str, device: str, options: Mapping[str, object] | None = None) -> str:
    """The command that trains nerfseg-fast on a scene.

    Args:
        scene: its folder.
        dataparser: that reads it.
        device: `cpu` or `cuda`; nerfstudio's training wants to be told of a CPU.
        options: of the dataparser, beside the folder, by the names of its config's fields.
    """
    words = ["ns-train", "nerfseg-fast"]
    if device == "cpu":
        words += ["--machine.device-type", "cpu"]
    if dataparser != DEFAULT_DATAPARSER or options:
        words += ["--experiment-name", Path(scene).resolve().name or "scene", dataparser]
    words += ["--data", str(scene)]
    for name, value in (options or {}).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
