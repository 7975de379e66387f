"""The demo as users run it, in a tiny form: one process, then everything that it left."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import pytest
from PIL import Image

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.demo.folder import DemoFolder
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.town.config import TownConfig

pytestmark = pytest.mark.slow

TOWN = TownConfig(seed=1, image_size=48, train_views=12, validation_views=1, test_views=3, labelled_views=4)
FRAMES = 6
OPTIONS = ["--implicit-steps", "40", "--semantic-steps", "40", "--frames", str(FRAMES), "--seed", "1"]
OPTIONS += ["--image-size", "48", "--train-views", "12", "--validation-views", "1", "--test-views", "3"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[DemoFolder, str]:
    """Folder and terminal output of a tiny demo, run with a relative folder whose name needs quoting."""
    place = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "nerfseg_ns.cli", "demo", "--output-dir", "my demo", *OPTIONS]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return DemoFolder(place / "my demo"), done.stdout


@pytest.fixture(scope="module")
def metrics(demo) -> dict:
    return json.loads(demo[0].metrics.read_text())


def test_metrics(demo, metrics):
    names = ClassTable.load(demo[0].town / "classes.json").names
    scores = ["miou", "miou_union", "total_accuracy", "average_accuracy"]
    scores += [name for name in (f"iou/{name}" for name in names) if name in metrics]
    assert len(scores) > 8
    for name in [*scores, *(f"observed/{name}" for name in scores if not name.startswith("iou/"))]:
        assert 0 <= metrics[name] <= 1, name
    assert any(name.startswith("observed/iou/") for name in metrics)
    assert 0 < metrics["psnr"] < 60 and -1 <= metrics["ssim"] <= 1
    assert 0 < metrics["depth_median_relative_error"] < np.inf
    seconds = metrics["seconds"]
    assert list(seconds) == ["town", "implicit", "semantic", "evaluate", "render", "total"]
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) == pytest.approx(2 * seconds["total"])  # the parts add up to the total
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux charges it to a child that is begun
    assert 10**8 < metrics["peak_memory_bytes"] < max(4 * 10**9, 1.01 * inherited)


def test_figures_are_those_of_ns_eval(demo, metrics):
    from nerfstudio.utils.eval_utils import eval_setup

    config, pipeline, checkpoint, step = eval_setup(demo[0].run_config)
    assert step == 79 and checkpoint.parent == demo[0].run / "nerfstudio_models"
    assert config.data.is_absolute() and config.output_dir.is_absolute()
    results = pipeline.get_average_eval_image_metrics(get_std=True)
    shared = set(metrics) - {"depth_median_relative_error", "seconds", "peak_memory_bytes"}
    assert shared <= set(results)
    assert {name: metrics[name] for name in shared} == pytest.approx({name: results[name] for name in shared}, abs=2e-3)


class References(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        self.found += [(tag, value) for name, value in attrs if name in ("src", "href")]


def test_report_refers_to_files_beside_it(demo, metrics):
    folder, page = demo[0], References()
    text = folder.report.read_text(encoding="utf-8")
    page.feed(text)
    tags = [tag for tag, _ in page.found]
    assert tags.count("img") == 3 * 7 and tags.count("video") == 1  # three test views, seven columns
    for _, reference in page.found:
        assert not re.match(r"[a-z]+:|/", reference), reference
        assert (folder.root / unquote(reference)).exists(), reference
    for name in ClassTable.load(folder.town / "classes.json").names:
        assert f">{name}<" in text
    assert f"{100 * metrics['miou']:.1f} %" in text


def test_video_plays(demo):
    with av.open(str(demo[0].video)) as video:
        codec = video.streams.video[0].codec_context
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")  # what browsers play
    assert frames.shape == (FRAMES, 2 * 45, 3 * 2 * 60, 3)  # 60 x 45 pixels, twice enlarged, three panels
    assert frames.std(axis=(1, 2, 3)).min() > 10  # no frame is blank


def test_label_maps_are_lossless(demo):
    folder = demo[0]
    table = ClassTable.load(folder.town / "classes.json")
    files = sorted(folder.labels.glob("*/*.png"))
    assert len(files) == FRAMES + TOWN.test_views
    for path in files:
        image = Image.open(path)
        indices, colors = np.array(image), np.array(image.convert("RGB"))
        assert indices.max() < len(table)
        assert (colors == table.color_array[indices]).all()


def test_camera_path_is_nerfstudios(demo):
    from nerfstudio.cameras.camera_paths import get_path_from_json

    cameras = get_path_from_json(json.loads(demo[0].camera_path.read_text()))
    assert len(cameras) == FRAMES and (int(cameras.width[0]), int(cameras.height[0])) == (60, 45)
    poses = cameras.camera_to_worlds.numpy()
    assert (np.linalg.norm(poses[:, :, 3], axis=1) < 1).all()
    assert np.allclose(np.linalg.det(poses[:, :, :3]), 1, atol=1e-5)
    towards_town = -(poses[:, :, 2] * poses[:, :, 3]).sum(axis=1)  # nerfstudio's cameras look along -z
    assert (towards_town < 0).all() and (poses[:, 2, 2] > 0).all()


def test_next_commands_are_printed_and_reported(demo):
    folder, printed = demo
    report = unescape(re.sub("<[^>]*>", "", folder.report.read_text(encoding="utf-8")))
    for command in ("ns-viewer", "ns-eval", "ns-render camera-path", "ns-render dataset", "ns-train nerfseg-fast"):
        assert command in printed and command in report
    for argument in (f"--load-config '{folder.run_config}'", f"--camera-path-filename '{folder.camera_path}'"):
        assert argument in printed and argument in report


def config_of(root: Path, **changes) -> DemoConfig:
    """The options of the tiny demo."""
    config = DemoConfig(output_dir=root, frames=FRAMES, implicit_steps=40, semantic_steps=40, town=TOWN)
    return replace(config, **changes)


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_finished_demo_is_not_made_again(demo):
    command = [sys.executable, "-m", "nerfseg_ns.cli", "demo", "--output-dir", str(demo[0].root), *OPTIONS]
    before = demo[0].metrics.stat().st_mtime_ns
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "finished" in done.stdout and "ns-viewer" in done.stdout
    assert demo[0].metrics.stat().st_mtime_ns == before


def test_other_options_need_another_folder_or_overwrite(demo, tmp_path):
    root = shutil.copytree(demo[0].root, tmp_path / "copy")
    (root / "notes.txt").write_text("mine")
    before = files_below(root)
    with pytest.raises(UserError, match="frames was 6, is now 7.*--overwrite"):
        DemoFolder(root).prepare(config_of(root, frames=7))
    assert files_below(root) == before
    assert DemoFolder(root).prepare(config_of(root, frames=7, overwrite=True))
    assert files_below(root) == {"demo.json", "notes.txt"}


def test_unfinished_demo_starts_again_with_its_town(demo, tmp_path):
    root = shutil.copytree(demo[0].root, tmp_path / "copy")
    record = json.loads((root / "demo.json").read_text())
    (root / "demo.json").write_text(json.dumps({**record, "finished": False}))
    assert DemoFolder(root).prepare(config_of(root))
    town = {name for name in files_below(demo[0].root) if name.startswith("town/")}
    assert files_below(root) == {"demo.json", *town}
    assert DemoFolder(root).prepare(config_of(root, town=replace(TOWN, seed=2)))  # another town is wanted now
    assert files_below(root) == {"demo.json"}


def test_files_appear_whole_or_not_at_all(tmp_path):
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "a" / "file.txt", fail)
    assert not list((tmp_path / "a").iterdir())
