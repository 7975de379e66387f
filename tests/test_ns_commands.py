"""nerfstudio's commands as a user runs them, on runs of both methods, and the installed package."""

import importlib.util
import json
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from helpers.commands import process_environment
from PIL import Image

from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.labels.classes import ClassTable

REPOSITORY = Path(__file__).parents[1]
LABEL_OUTPUTS = {"semantics_colormap", "semantics_overlay", "semantics_confidence", "semantics_logits"}


def read_video(path: Path) -> np.ndarray:
    """All frames of a video, uint8 [frames, height, width, 3]."""
    frames = imageio_ffmpeg.read_frames(str(path))
    width, height = next(frames)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames])


def assert_label_video(path: Path, frames: int, palette: np.ndarray) -> None:
    """So many frames, made of the palette's colors as far as a video keeps them."""
    video = read_video(path)
    assert len(video) == frames
    distances = np.abs(video[..., None, :].astype(int) - palette.astype(int)).sum(axis=-1)
    assert np.median(distances.min(axis=-1)) < 24 and len(np.unique(distances.argmin(axis=-1))) > 1


@pytest.fixture(scope="module")
def palette(small_town) -> np.ndarray:
    return ClassTable.load(small_town / "classes.json").color_array


@pytest.fixture(scope="module")
def render(ns, fast_run, without_ffmpeg, tmp_path_factory):
    """Renders a label video on a machine without ffmpeg; returns its path."""

    def run(kind: str, *flags) -> Path:
        path = tmp_path_factory.mktemp("videos") / f"{kind}.mp4"
        output = ["--load-config", fast_run, "--output-path", path, "--rendered-output-names", "semantics_colormap"]
        ns("ns-render", kind, *output, *flags, env=without_ffmpeg)
        return path

    return run


def test_this_machine_has_no_ffmpeg_for_the_commands(without_ffmpeg):
    assert shutil.which("ffmpeg", path=without_ffmpeg["PATH"]) is None


def test_label_images_are_lossless_and_exactly_of_the_palette(rendered_views, small_town, palette):
    paths = sorted((rendered_views / "semantics_colormap").glob("*.png"))
    assert [path.name for path in paths] == [path.name for path in sorted((small_town / "test/rgb").glob("*.png"))]
    known = {tuple(color) for color in palette.tolist()}
    used = {tuple(c) for path in paths for c in np.asarray(Image.open(path))[..., :3].reshape(-1, 3).tolist()}
    assert used <= known and len(used) >= 3


def test_every_output_is_rendered_for_every_view(rendered_views):
    folders = {path.name for path in rendered_views.iterdir()}
    assert {"rgb", "depth", "accumulation"} | LABEL_OUTPUTS <= folders
    for folder in folders:
        paths = list((rendered_views / folder).glob("*.png"))
        assert len(paths) == 4, folder
        for path in paths:
            assert Image.open(path).size == (48, 48)


def test_overlay_shows_the_labels_over_the_colors(rendered_views):
    for path in (rendered_views / "semantics_overlay").glob("*.png"):
        overlay, labels, rgb = (
            np.asarray(Image.open(rendered_views / name / path.name), dtype=float)[..., :3]
            for name in ("semantics_overlay", "semantics_colormap", "rgb")
        )
        share = ((overlay - rgb) * (labels - rgb)).sum() / ((labels - rgb) ** 2).sum()
        assert 0.2 < share < 0.9
        assert np.abs(rgb + share * (labels - rgb) - overlay).max() < 3


def test_label_video_along_a_camera_path(render, small_town, palette, tmp_path):
    cameras = CarlaMVSDataParserConfig(data=small_town).setup().get_dataparser_outputs("test").cameras
    poses = [np.vstack([pose, [0, 0, 0, 1]]).ravel().tolist() for pose in cameras.camera_to_worlds.numpy()]
    path = {
        "camera_type": "perspective",
        "render_height": 40,
        "render_width": 56,
        "fps": 5,
        "seconds": 0.8,
        "camera_path": [{"camera_to_world": pose, "fov": 60, "aspect": 1.4} for pose in poses],
    }
    (tmp_path / "path.json").write_text(json.dumps(path))
    video = render("camera-path", "--camera-path-filename", tmp_path / "path.json")
    assert_label_video(video, 4, palette)
    assert read_video(video).shape[1:3] == (40, 56)


def test_label_video_between_the_test_views(render, palette):
    video = render("interpolate", "--pose-source", "eval", "--interpolation-steps", 2)
    assert_label_video(video, 3 * 2, palette)  # two frames for each of the three gaps between four views


def test_label_video_on_a_spiral(render, palette):
    assert_label_video(render("spiral", "--seconds", 1, "--frame-rate", 5, "--radius", 0.02), 5, palette)


def test_checkpoints_need_no_trust(fast_run):
    (path,) = fast_run.parent.glob("nerfstudio_models/*.ckpt")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    assert checkpoint["step"] == 249
    assert {"pipeline", "optimizers", "schedulers", "scalers"} <= set(checkpoint)


def test_nerfseg_trains_through_both_stages(train, small_town):
    """The paper's method, made tiny by flags alone."""
    model = "--pipeline.model"
    flags = [
        *(f"{model}.geometry.num-coarse-samples", 8, f"{model}.geometry.num-importance-samples", 8),
        *(f"{model}.geometry.networks.num-layers", 6, f"{model}.geometry.networks.layer-width", 32),
        *(f"{model}.geometry.networks.view-width", 16),
        *(f"{model}.semantics.hidden-dim", 32, f"{model}.semantics.feature-dim", 16),
        *("--pipeline.datamanager.train-num-rays-per-batch", 128),
    ]
    run = train("nerfseg", *flags, scene=small_town, implicit=25, semantic=15)
    (path,) = run.parent.glob("nerfstudio_models/*.ckpt")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    assert checkpoint["step"] == 39
    for group, steps in (("geometry", 25), ("semantics", 15)):
        assert {int(state["step"]) for state in checkpoint["optimizers"][group]["state"].values()} == {steps}
    weights = checkpoint["pipeline"]
    assert weights["_model.geometry.fine.background.mlp_base.layers.4.weight"].shape == (32, 32 + 84)
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())

    from nerfstudio.utils.eval_utils import eval_setup

    pipeline = eval_setup(run, test_mode="test")[1]
    results = pipeline.get_average_eval_image_metrics()
    assert 0 < results["total_accuracy"] <= 1 and 0 < results["observed/total_accuracy"] <= 1
    camera, _ = next(iter(pipeline.datamanager.fixed_indices_eval_dataloader))
    outputs = pipeline.eval().model.get_outputs_for_camera(camera)
    assert {"rgb", "depth", "accumulation"} | LABEL_OUTPUTS == set(outputs)


def test_entry_points_load():
    methods = entry_points(group="nerfstudio.method_configs")
    dataparsers = entry_points(group="nerfstudio.dataparser_configs")
    for name in ("nerfseg", "nerfseg-fast"):
        specification = methods[name].load()
        assert specification.config.method_name == name and specification.description
    for name in ("carla-mvs-data", "labelled-photos-data"):
        assert dataparsers[name].load().description


def test_other_methods_work_and_know_our_dataparsers(ns):
    """A plugin whose dataparser module imports too much breaks every command of the environment."""
    output = ns("ns-train", "nerfacto", "--help", env={"COLUMNS": "200"})
    assert "carla-mvs-data" in output and "labelled-photos-data" in output and "blender-data" in output
    assert "Traceback" not in output and "Error" not in output and "circular" not in output


def test_a_light_import_of_the_dataparsers():
    """The module behind the dataparsers' entry points leads to no method config and to no model."""
    code = (
        "import sys, nerfseg_ns.dataparsers.specifications;"
        "found = [m for m in sys.modules if m.startswith(('nerfseg_ns.method_configs', 'nerfseg_ns.model',"
        " 'nerfseg_ns.data.', 'nerfseg_ns.geometry.', 'nerfseg_ns.pipeline'))];"
        "assert found == ['nerfseg_ns.geometry.ground_plane'], found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=process_environment())


@pytest.mark.skipif(
    importlib.util.find_spec("setuptools") is None or importlib.util.find_spec("pip") is None,
    reason="needs pip and setuptools in this environment",
)
def test_installed_package_is_whole(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "outputs", "tests")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--target", target, source], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    modules = {path.relative_to(source / "nerfseg_ns") for path in (source / "nerfseg_ns").rglob("*.py")}
    modules |= {Path("method_configs") / path.name for path in (source / "method_configs").glob("*.py")}
    installed = {path.relative_to(target / "nerfseg_ns") for path in (target / "nerfseg_ns").rglob("*.py")}
    assert installed == modules
    assert Path("method_configs/nerfseg_fast.py") in installed
    assert {path.name for path in target.iterdir() if path.is_dir()} <= {
        "nerfseg_ns",
        "bin",
        *(path.name for path in target.glob("*.dist-info")),
    }  # nothing else is installed, a top-level method_configs least of all
    (listed,) = target.glob("*.dist-info/entry_points.txt")
    text = listed.read_text()
    for group in ("nerfstudio.method_configs", "nerfstudio.dataparser_configs", "console_scripts"):
        assert f"[{group}]" in text
    for name in ("nerfseg", "nerfseg-fast", "carla-mvs-data", "labelled-photos-data"):
        assert f"{name} = nerfseg_ns." in text
    code = "import nerfseg_ns, nerfseg_ns.method_configs.nerfseg as m; print(nerfseg_ns.__file__, m.__file__)"
    environment = process_environment(PYTHONPATH=str(target))
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=tmp_path
    ).stdout
    assert all(path.startswith(str(target)) for path in output.split())
