"""The command `nerfseg`. Imports little, so that its help is there at once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Optional

import tyro

from nerfseg_ns.augment.config import AugmentConfig
from nerfseg_ns.bench.config import BenchConfig
from nerfseg_ns.check.config import CheckConfig
from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.maps.config import MapConfig
from nerfseg_ns.maps.drawn.config import DrawnConfig
from nerfseg_ns.photos.config import PhotosConfig
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.town.config import TownConfig


def town(
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")],
    config: Annotated[TownConfig, tyro.conf.arg(name="")],
) -> None:
    """Make the built-in town: an aerial scene with exact labels, in the Carla-MVS layout or as Earth Studio footage.

    Args:
        out: Folder to write; must not exist yet, be empty, or hold this very town already.
        config: What to make.
    """
    from nerfseg_ns.console.train_command import train_command
    from nerfseg_ns.core.device import device_type
    from nerfseg_ns.town.make import make_town

    folder = make_town(config, out)
    dataparser = {"carla-mvs": "carla-mvs-data", "earth-studio": "google-earth-data"}[config.layout]
    print(f"The town is in {folder}. Train on it with: {train_command(folder, dataparser, device_type())}")


def demo(config: Annotated[DemoConfig, tyro.conf.arg(name="")]) -> None:
    """Show the whole way on built-in data: make a town, train nerfseg-fast, evaluate, render a label video.

    Leaves one folder with a report (report.html), the figures (metrics.json), the video and the run, which ns-viewer,
    ns-eval and ns-render load.

    Args:
        config: What to show.
    """
    from nerfseg_ns.demo.run import run_demo

    run_demo(config)


def photos(
    images: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGES")],
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")],
    config: Annotated[PhotosConfig, tyro.conf.arg(name="")],
) -> None:
    """Make a scene of your own photos: poses by COLMAP, in metres where the photos carry GPS positions.

    Needs pycolmap: pip install 'nerfseg[sfm]'.

    Args:
        images: Folder with the photos (JPEG, PNG, TIFF), which are left as they are.
        out: Folder to write; must not exist yet, or be empty.
        config: How.
    """
    from nerfseg_ns.photos.make import make_scene

    make_scene(images, out, config)


def check(
    scene: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCENE")],
    config: Annotated[CheckConfig, tyro.conf.arg(name="")],
) -> None:
    """Say what a scene is and everything that is wrong with it; the exit status is 1 if training would fail.

    Args:
        scene: Folder of the scene: own photos, Carla-MVS layout or Earth Studio footage.
        config: How it is read.
    """
    from nerfseg_ns.check.run import check_scene

    check_scene(scene, config)


def segment(
    config: Annotated[SegmentConfig, tyro.conf.arg(name="")],
    scene: Annotated[Optional[Path], tyro.conf.Positional, tyro.conf.arg(metavar="SCENE")] = None,
) -> None:
    """Label every photo of a scene from a few labelled ones, within minutes, by what a trained eye makes of each photo.

    Needs no poses: a folder with the photos (or images/), labels/ and classes.json is enough. With --load-config, what
    a trained run knows of the scene counts too. An interrupted run goes on with the same command.

    Args:
        config: How.
        scene: Folder of the scene; may be left out where a run is named.
    """
    from nerfseg_ns.console.warning_filters import filter_warnings

    filter_warnings()  # the next import brings nerfstudio
    from nerfseg_ns.segment.run import run_segment

    run_segment(scene, config)


def map_scene(config: Annotated[MapConfig, tyro.conf.arg(name="")]) -> None:
    """Write the map of a trained run's scene: labels, orthophoto and surface as GeoTIFFs, polygons and areas.

    Leaves one folder: labels.tif, confidence.tif, ortho.tif (the photos' own pixels), dsm.tif, seen.tif (by how many
    photos), classes.gpkg, areas.csv, cloud.laz and cloud.ply. Needs more packages: pip install 'nerfseg[maps]'.

    Args:
        config: Of which run, and how.
    """
    config.check()
    from nerfseg_ns.console.warning_filters import filter_warnings

    filter_warnings()  # the next import brings nerfstudio
    from nerfseg_ns.maps.run import run_map

    run_map(config)


def labels_from_map(
    config: Annotated[DrawnConfig, tyro.conf.arg(name="")],
    scene: Annotated[Optional[Path], tyro.conf.Positional, tyro.conf.arg(metavar="SCENE")] = None,
) -> None:
    """Carry labels drawn on a map into the photos: polygons, lines and points of a GeoPackage, GeoJSON or Shapefile.

    Draw them in QGIS or the like on ortho.tif of nerfseg map, or on any orthophoto. Each pixel of a training photo gets
    the class of the place that it shows; walls, which have no place on a map, stay unlabelled. Needs more packages:
    pip install 'nerfseg[maps]'.

    Args:
        config: What was drawn, and how it becomes labels.
        scene: Folder of the scene, to be sure that the run is of it; may be left out.
    """
    config.check(scene)
    from nerfseg_ns.console.warning_filters import filter_warnings

    filter_warnings()  # the next import brings nerfstudio
    from nerfseg_ns.maps.drawn.run import run_labels_from_map

    run_labels_from_map(scene, config)


def bench(config: Annotated[BenchConfig, tyro.conf.arg(name="")]) -> None:
    """Measure the methods on this machine: steps, label map, start-up, memory, growth, and mIoU over time.

    Leaves one folder with tables (bench.md), a figure (bench.png) and every value (bench.json). On a CPU it takes tens
    of minutes: a single step of the paper's computation takes half a minute on two cores.

    Args:
        config: What is measured.
    """
    from nerfseg_ns.bench.run import run_bench

    run_bench(config)


def compare(
    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCENE")],
    config: Annotated[CompareConfig, tyro.conf.arg(name="")],
) -> None:
    """Train and score methods on the same photos and labels: networks on single photos, Seg-NeRF, this one's variants.

    Each method, scene, seed and number of labels is a job in a process of its own. Leaves one folder with tables
    (compare.md, compare.csv), a figure (compare.png), every value (compare.json) and the predictions of each scene. An
    interrupted comparison goes on with the same command; the exit status is 1 if a job failed.

    Args:
        scenes: Folders of scenes that hold labelled photos out to score on, as the built-in town does, or of whose
            other photos --truth has labels.
        config: What is compared.
    """
    from nerfseg_ns.console.warning_filters import filter_warnings

    filter_warnings()  # the next import brings nerfstudio
    from nerfseg_ns.compare.run import run_compare

    if run_compare(scenes, config):
        sys.exit(1)


def augment(config: Annotated[AugmentConfig, tyro.conf.arg(name="")]) -> None:
    """Write the label maps of a trained run as a training set for other networks.

    Leaves one folder: images/ and labels/ with files of one name (class indices, 255 where not labelled), confidence/,
    train.txt, classes.txt and classes.json, and what each image is (dataset.json).

    Args:
        config: What it is made of.
    """
    from nerfseg_ns.console.warning_filters import filter_warnings

    filter_warnings()  # the next import brings nerfstudio
    from nerfseg_ns.augment.run import run_augment

    run_augment(config)


def main() -> None:
    """Entry point; bad input ends with one message and exit status 1."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")  # of torch's own way through its imports
    try:
        tyro.extras.subcommand_cli_from_dict(
            {
                "town": town,
                "demo": demo,
                "photos": photos,
                "check": check,
                "segment": segment,
                "map": map_scene,
                "labels-from-map": labels_from_map,
                "bench": bench,
                "compare": compare,
                "augment": augment,
            },
            prog="nerfseg",
            description="Semantic radiance fields for aerial photos. Training, evaluation, rendering and the viewer "
            "are nerfstudio's commands: ns-train nerfseg-fast, ns-eval, ns-render, ns-viewer.",
        )
    except UserError as error:
        sys.exit(f"nerfseg: {error.text()}")
    except KeyboardInterrupt:
        sys.exit("nerfseg: interrupted. The same command starts again.")


if __name__ == "__main__":
    main()
