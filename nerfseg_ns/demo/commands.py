"""The commands to try next, with the paths of this demo."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import List, Tuple

from nerfseg_ns.demo.folder import METHOD, DemoFolder


def next_commands(folder: DemoFolder, device: str) -> List[Tuple[str, str]]:
    """What to try and the command for it, ready for a shell.

    Args:
        folder: of the demo.
        device: `cpu` or `cuda`; nerfstudio's training wants to be told of a CPU.
    """
    config, train = _quote(folder.run_config), f"ns-train {METHOD}"
    if device == "cpu":
        train += " --machine.device-type cpu"
    return [
        ("See it in the viewer", f"ns-viewer --load-config {config}"),
        ("Evaluate it", f"ns-eval --load-config {config} --output-path {_quote(folder.root / 'ns-eval.json')}"),
        (
            "Render the flight again, as a video of your own choice of outputs",
            f"ns-render camera-path --load-config {config} --camera-path-filename {_quote(folder.camera_path)} "
            f"--rendered-output-names rgb semantics_colormap --output-path {_quote(folder.root / 'flight.mp4')}",
        ),
        (
            "Render the label maps of the test views as lossless PNGs",
            f"ns-render dataset --load-config {config} --split test --rendered-output-names semantics_colormap "
            f"--image-format png --output-path {_quote(folder.root / 'renders')}",
        ),
        (
            "Learn the labels anew on the same geometry, after changing the label maps",
            f"{train} --stage1-from {_quote(folder.run)} --data {_quote(folder.town)}",
        ),
        ("Train on photos of your own, some of them labelled", f"{train} labelled-photos-data --data YOUR_SCENE"),
    ]


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
