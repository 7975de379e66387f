"""What the tests share, made once a session: a small town, a short training run on it, and the means to make more.

With `pytest -n 2` the processes share it too: who comes first makes it, the others wait.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes, a thread each; before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from filelock import FileLock
from helpers.commands import process_environment
from helpers.configs import small_config

from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town

BIN = Path(sys.executable).parent
IMPLICIT_STEPS, SEMANTIC_STEPS = 150, 100


TRAINING_FIXTURES = {"ns", "train", "make_trainer", "fast_run", "fast_pipeline"}
"""Whatever asks for one of them trains, or runs a command of nerfstudio's."""


LONGEST = [
    "viewer",
    "segment",
    "compare_command",
    "bench",
    "ns_export",
    "eye",
    "taught_field",
    "resume",
    "ns_commands",
    "augment",
    "labels_from_map",
    "maps",
]
"""Test files that take longest, the longest first: begun last, one of them would keep the others waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TRAINING_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session")
def ns() -> Callable[..., str]:
    """Runs a command of this environment and returns what it printed; fails with the end of it.

    `ns("ns-eval", "--load-config", path, timeout=300, fails=False, env={...})`; with `fails` it must fail.
    """

    def run(command: str, *args, timeout: float = 300, fails: bool = False, env: dict | None = None) -> str:
        done = subprocess.run(
            [BIN / command, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=process_environment(**(env or {})),
        )
        tail = "\n".join(done.stdout.splitlines()[-40:])
        assert (done.returncode != 0) == fails, f"{command} ended with {done.returncode}:\n{tail}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that all processes of the tests share: `shared("town", make)`, where `make` fills the folder."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = root / "shared" / name, root / "shared" / f"{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.parent / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def small_town(shared) -> Path:
    """A town of 48 px: 16 training views, four of them labelled, three for validation, four for testing."""
    config = TownConfig(seed=0, image_size=48, train_views=16, validation_views=3, test_views=4, labelled_views=4)
    return shared("town", lambda folder: make_town(config, folder))


@pytest.fixture(scope="session")
def train(ns, tmp_path_factory) -> Callable[..., Path]:
    """Runs ns-train as a process: `train(method, *args)`; returns the run's config.yml."""

    def run(method: str, *args, scene: Path, implicit: int, semantic: int, output: Path | None = None) -> Path:
        output = output or tmp_path_factory.mktemp("runs")
        flags = ["--machine.device-type", "cpu", "--vis", "tensorboard", "--output-dir", output, "--timestamp", "run"]
        stages = ["--pipeline.stages.implicit-steps", implicit, "--pipeline.stages.semantic-steps", semantic]
        eye = ["--pipeline.model.eye.backbone", "none"]  # tests of the eye give it, the later option wins
        ns("ns-train", method, *flags, *stages, *eye, *args, "--data", scene)
        (config,) = output.glob("*/*/run/config.yml")
        return config

    return run


@pytest.fixture(scope="session")
def fast_run(train, shared, small_town) -> Path:
    """config.yml of a short run of nerfseg-fast through both stages, made by a real ns-train."""

    def make(folder: Path) -> None:
        train("nerfseg-fast", scene=small_town, implicit=IMPLICIT_STEPS, semantic=SEMANTIC_STEPS, output=folder)

    (config,) = shared("fast-run", make).glob("*/*/run/config.yml")
    return config


@pytest.fixture(scope="session")
def fast_pipeline(fast_run):
    """The pipeline of `fast_run`, loaded for its test views as ns-eval and ns-viewer do it. Leave it as it is."""
    from nerfstudio.utils.eval_utils import eval_setup

    return eval_setup(fast_run, test_mode="test")[1]


@pytest.fixture(scope="session")
def test_results(ns, fast_run, shared) -> Path:
    """What ns-eval writes about `fast_run`."""

    def make(folder: Path) -> None:
        ns("ns-eval", "--load-config", fast_run, "--output-path", folder / "metrics.json")

    return shared("eval", make) / "metrics.json"


@pytest.fixture(scope="session")
def without_ffmpeg(tmp_path_factory) -> dict[str, str]:
    """Environment of a machine without ffmpeg and of a user who has never run anything."""
    folder = tmp_path_factory.mktemp("bare")
    return {"PATH": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}


@pytest.fixture(scope="session")
def rendered_views(ns, fast_run, without_ffmpeg, tmp_path_factory) -> Path:
    """Folder of all outputs of the test views, a folder of PNGs each, as ns-render makes them."""
    folder = tmp_path_factory.mktemp("rendered")
    flags = ["--load-config", fast_run, "--output-path", folder, "--split", "test", "--image-format", "png"]
    ns("ns-render", "dataset", *flags, env=without_ffmpeg)
    return folder / "test"


@pytest.fixture
def make_trainer(tmp_path) -> Callable:
    """Small trainers in this process, seeded, set up and ready to step.

    `make_trainer(scene, implicit, semantic, method="nerfseg-fast", dataparser=None, change=None, **fields of the
    trainer's config)`; `dataparser` is the config of another one than the method's own, `change` gets the config last.
    """
    import torch

    def make(scene: Path, implicit: int, semantic: int, method="nerfseg-fast", dataparser=None, change=None, **changes):
        torch.manual_seed(0)
        random.seed(0)
        config = small_config(method)
        config.pipeline.stages.implicit_steps, config.pipeline.stages.semantic_steps = implicit, semantic
        config.pipeline.datamanager.dataparser = dataparser or config.pipeline.datamanager.dataparser
        config.pipeline.datamanager.dataparser.data = scene
        config.machine.device_type = "cpu"
        config.output_dir, config.experiment_name, config.timestamp = tmp_path, "test", "run"
        config.vis = "tensorboard"
        for name, value in changes.items():
            setattr(config, name, value)
        if change is not None:
            change(config)
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        return trainer

    return make


@pytest.fixture
def step_trainer() -> Callable:
    """Runs steps as the training loop does: `step_trainer(trainer, range(10))`; returns the last loss dict."""
    from nerfstudio.engine.callbacks import TrainingCallbackLocation

    def run(trainer, steps):
        losses = {}
        for step in steps:
            trainer.pipeline.train()
            for callback in trainer.callbacks:
                callback.run_callback_at_location(step, location=TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
            _, losses, _ = trainer.train_iteration(step)
            for callback in trainer.callbacks:
                callback.run_callback_at_location(step, location=TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
        return losses

    return run
