"""The command `nerfseg`. Imports little, so that its help is there at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.errors import SceneError
from nerfseg_ns.town.config import TownConfig


def town(
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")],
    config: Annotated[TownConfig, tyro.conf.arg(name="")],
) -> None:
    """Make the built-in town: an aerial scene with exact labels in the Carla-MVS layout.

    Args:
        out: Folder to write; must not exist yet, be empty, or hold this very town already.
        config: What to make.
    """
    from nerfseg_ns.town.make import make_town

    folder = make_town(config, out)
    print(f"The town is in {folder}. Train on it with: ns-train nerfseg-fast --data {folder}")


def demo(config: Annotated[DemoConfig, tyro.conf.arg(name="")]) -> None:
    """Show the whole way on built-in data: make a town, train nerfseg-fast, evaluate, render a label video.

    Leaves one folder with a report (report.html), the figures (metrics.json), the video and the run, which ns-viewer,
    ns-eval and ns-render load.

    Args:
        config: What to show.
    """
    from nerfseg_ns.demo.run import run_demo

    run_demo(config)


def main() -> None:
    """Entry point; bad input ends with one message and exit status 1."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"town": town, "demo": demo},
            prog="nerfseg",
            description="Semantic radiance fields for aerial photos. Training, evaluation, rendering and the viewer "
            "are nerfstudio's commands: ns-train nerfseg-fast, ns-eval, ns-render, ns-viewer.",
        )
    except SceneError as error:
        sys.exit(f"nerfseg: {error}")
    except KeyboardInterrupt:
        sys.exit("nerfseg: interrupted. The same command starts again.")


if __name__ == "__main__":
    main()
