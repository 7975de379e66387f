"""Two processes that train together: gloo on the CPU, the same program as on GPUs."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.configs import small_config
from helpers.processes import WORLD_SIZE, run_together
from helpers.runs import METHODS, adam_steps, load, same, snapshot
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from nerfstudio.utils import comms
from PIL import Image

from nerfseg_ns.core.stage import SEMANTIC_GROUP, Stage
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.training.trainer import StagedTrainer, StagedTrainerConfig

pytestmark = pytest.mark.slow

STEPS = 4
"""Of each stage."""


def config_for(method: str, scene: Path, output: Path, **changes) -> StagedTrainerConfig:
    """A small run; it evaluates only if told how often."""
    config = small_config(method)
    config.pipeline.stages.implicit_steps = config.pipeline.stages.semantic_steps = STEPS
    config.pipeline.datamanager.dataparser.data = scene
    config.machine.device_type, config.vis = "cpu", "tensorboard"
    config.output_dir, config.experiment_name, config.timestamp = output, "together", "run"
    for name, value in changes.items():
        setattr(config, name, value)
    return config


# What the processes do


def observe_stages(local_rank: int, world_size: int, config: StagedTrainerConfig, global_rank: int) -> None:
    """Goes through both stages step by step and writes down what there is to see, as rank-N.pt."""
    seed_all(config.machine.seed + global_rank)
    trainer = config.setup(local_rank=local_rank, world_size=world_size)
    trainer.setup()
    pipeline, seen = trainer.pipeline, {}
    for stage, first in ((Stage.IMPLICIT, 0), (Stage.SEMANTIC, STEPS)):
        before = snapshot(pipeline.model)
        for step in range(first, first + STEPS - 1):
            enter(trainer, step)
            trainer.train_iteration(step)
        seen[stage.value] = {"before": before, **observe_step(trainer, first + STEPS - 1)}
    drawn = [pipeline.datamanager.draw_train()[1]["indices"] for _ in range(50)]
    seen["drawn"] = set(map(tuple, torch.cat(drawn).tolist()))
    seen["kept"] = getattr(pipeline.datamanager.semantic_batches.rays, "kept", None)
    seen["evaluation"] = observe_evaluation(pipeline)
    seen["depth_rays"] = getattr(pipeline.model.geometry, "depth_rays", None)
    torch.save(seen, config.output_dir / f"rank-{global_rank}.pt")


def seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)


def enter(trainer: StagedTrainer, step: int) -> None:
    """What the training loop does before a step."""
    trainer.pipeline.train()
    for callback in trainer.callbacks:
        callback.run_callback_at_location(step, location=TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)


def observe_step(trainer: StagedTrainer, step: int) -> dict:
    """One step of the trainer, and the gradients that this process alone has on the same batch, without DDP."""
    pipeline, model = trainer.pipeline, trainer.pipeline.model
    enter(trainer, step)
    learning = {name: value for name, value in model.named_parameters() if value.requires_grad and value.numel()}
    numbers = torch.get_rng_state()
    wrapped, pipeline._model = pipeline._model, model
    _, losses, _ = pipeline.get_train_loss_dict(step)
    alone = torch.autograd.grad(sum(losses.values()), list(learning.values()))
    pipeline._model = wrapped
    torch.set_rng_state(numbers)
    trainer.train_iteration(step)
    return {
        "losses": set(losses),
        "alone": dict(zip(learning, alone, strict=True)),
        "together": {name: value.grad for name, value in model.named_parameters() if value.grad is not None},
        "after": snapshot(model),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in trainer.optimizers.optimizers.items()},
    }


def observe_evaluation(pipeline) -> dict:
    """Scores with the views shared, how many pixels they counted, and the scores of this process on all views."""
    loader = pipeline.datamanager.fixed_indices_eval_dataloader
    with pipeline.model.scoring() as scores:
        pipeline.get_average_image_metrics(loader, "eval")
    return {
        "counted": {prefix: int(matrix.sum()) for prefix, matrix in scores.matrices.items()},
        "labelled": sum(int((batch["semantics"] != IGNORE_INDEX).sum()) for _, batch in loader),
        "together": pipeline.get_average_eval_image_metrics(),
        "alone": pipeline.get_average_eval_image_metrics(get_std=True),
    }


@dataclass
class LeavesWeightsConfig(StagedTrainerConfig):
    _target: type = field(default_factory=lambda: LeavesWeights)


class LeavesWeights(StagedTrainer):
    """Writes down its weights at the end, as rank-N.pt."""

    def train(self) -> None:
        super().train()
        torch.save(snapshot(self.pipeline.model), self.config.output_dir / f"rank-{comms.get_rank()}.pt")


def train(local_rank: int, world_size: int, config: StagedTrainerConfig, global_rank: int) -> None:
    from nerfstudio.scripts.train import train_loop

    config._target = LeavesWeights
    train_loop(local_rank, world_size, config, global_rank)


# What must be seen


def of_both(folder: Path) -> list:
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=False) for rank in range(WORLD_SIZE)]


@pytest.fixture(scope="module", params=METHODS)
def seen(request, small_town, tmp_path_factory) -> list:
    """What both processes saw of a method: nerfseg-fast keeps its labelled rays, nerfseg renders them in every step."""
    folder = tmp_path_factory.mktemp(request.param)
    config = config_for(request.param, small_town, folder)
    config.pipeline.model.photo_exposures = False  # so that the colors of kept rays are the photos' bytes
    if request.param == "nerfseg":
        config.pipeline.labelled_rays.max_megabytes = 0
    run_together(observe_stages, config, folder)
    return of_both(folder)


@pytest.mark.parametrize("stage", ["implicit", "semantic"])
def test_gradients_are_the_mean_of_those_of_the_processes_alone(seen, stage):
    one, other = (process[stage] for process in seen)
    assert one["alone"].keys() == one["together"].keys() == other["together"].keys()
    for name, gradient in one["together"].items():
        assert torch.equal(gradient, other["together"][name]), name
        mean = (one["alone"][name] + other["alone"][name]) / 2
        assert torch.allclose(gradient, mean, rtol=1e-4, atol=1e-7 * float(mean.abs().max())), name
    assert one["losses"] == other["losses"] and ("f2s_loss" in one["losses"]) == (stage == "semantic")
    differing = [name for name, gradient in one["alone"].items() if not torch.equal(gradient, other["alone"][name])]
    assert len(differing) > 0.9 * len(one["alone"])  # else the mean would say nothing


@pytest.mark.parametrize("stage", ["implicit", "semantic"])
def test_processes_stay_equal_to_the_last_bit(seen, stage):
    one, other = (process[stage] for process in seen)
    assert same(one["before"], other["before"]) and same(one["after"], other["after"])
    assert not same(one["before"], one["after"])
    learning = [group for group in one["optimizers"] if (group == SEMANTIC_GROUP) == (stage == "semantic")]
    for group in learning:
        states, others = (process["optimizers"][group]["state"] for process in (one, other))
        assert {int(state["step"]) for state in states.values()} == {STEPS}
        assert states.keys() == others.keys() and all(same(states[index], others[index]) for index in states)


@pytest.mark.parametrize(("stage", "frozen"), [("implicit", "semantics."), ("semantic", "geometry.")])
def test_what_is_frozen_does_not_move_on_any_process(seen, stage, frozen):
    for process in seen:
        before, after = (
            {name: value for name, value in process[stage][when].items() if name.startswith(frozen)}
            for when in ("before", "after")
        )
        assert before and same(before, after)
        assert not any(name.startswith(frozen) for name in process[stage]["together"])


@pytest.mark.parametrize("seen", ["nerfseg-fast"], indirect=True)
def test_processes_find_the_same_scene(seen):
    one, other = (process["depth_rays"] for process in seen)
    assert len(one) > 100 and same(vars(one), vars(other))
    assert all("depth_loss" in process["implicit"]["losses"] for process in seen)


@pytest.mark.parametrize("seen", ["nerfseg-fast"], indirect=True)
def test_every_labelled_pixel_is_kept_by_one_process(seen, small_town):
    kept = [rays for process in seen for rays in rays_of(process["kept"])]
    photos, labels = (
        np.stack([np.asarray(Image.open(path)) for path in sorted((small_town / "train" / kind).glob("*.png"))])
        for kind in ("rgb", "label")
    )
    labelled = [int(path.stem) for path in sorted((small_town / "train/label").glob("*.png"))]
    photos = photos[labelled, ..., :3]
    expected = np.concatenate([photos, labels[..., None]], axis=-1).reshape(-1, 4)
    assert len(labelled) == 4 and sorted(kept) == sorted(map(tuple, expected.tolist()))
    sizes = [len(process["kept"]) for process in seen]
    assert max(sizes) - min(sizes) <= len(labelled)


def rays_of(kept) -> list:
    """Color and label of each ray, as bytes."""
    colors = (kept.observed * 255).round().int()
    return list(map(tuple, torch.cat([colors, kept.labels[:, None].int()], dim=1).tolist()))


def test_pixels_drawn_anew_belong_to_one_process_too(seen):
    one, other = (process["drawn"] for process in seen)
    assert min(len(one), len(other)) > 1000 and not one & other


def test_processes_share_the_evaluation(seen):
    """Every view counts once, and the scores are those of one process that goes over all views."""
    one, other = (process["evaluation"] for process in seen)
    speed = {"num_rays_per_sec", "fps"}
    assert one["labelled"] == 3 * 48 * 48
    assert one["counted"] == other["counted"] == {"": one["labelled"], "observed/": one["labelled"]}
    assert {"miou", "psnr", "observed/miou"} <= one["together"].keys()
    for key in one["together"].keys() - speed:
        assert one["together"][key] == other["together"][key] == pytest.approx(one["alone"][key], rel=1e-5), key


# nerfstudio's training loop on two machines, and what becomes of its checkpoint


@pytest.fixture(scope="module")
def trained(small_town, tmp_path_factory) -> StagedTrainerConfig:
    """The config of a run through both stages, on two machines with a process each."""
    output = tmp_path_factory.mktemp("loop")
    evaluation = {"steps_per_eval_batch": 3, "steps_per_eval_image": 3, "steps_per_eval_all_images": 3}
    config = config_for("nerfseg-fast", small_town, output, steps_per_save=3, vis="viewer+tensorboard", **evaluation)
    config.save_config()
    run_together(train, config, output, machines=2)
    return config


def test_the_training_loop_goes_through_both_stages(trained):
    one, other = of_both(trained.output_dir)
    checkpoint = load(trained.get_base_dir())
    assert checkpoint["step"] == 2 * STEPS - 1 and same(one, other)
    saved = {name.replace("_model.module.", ""): value for name, value in checkpoint["pipeline"].items()}
    assert same(one, saved)
    assert all(adam_steps(checkpoint, group) == {STEPS} for group in checkpoint["optimizers"])


def test_only_the_first_process_writes(trained):
    assert len(list(trained.get_base_dir().glob("events.out.*"))) == 1
    assert [path.name for path in trained.get_checkpoint_dir().iterdir()] == [f"step-{2 * STEPS - 1:09d}.ckpt"]


def test_one_process_evaluates_it(trained):
    from nerfstudio.utils.eval_utils import eval_setup

    _, pipeline, _, step = eval_setup(trained.get_base_dir() / "config.yml", test_mode="test")
    assert step == 2 * STEPS - 1 and same(snapshot(pipeline.model), of_both(trained.output_dir)[0])
    metrics = pipeline.get_average_eval_image_metrics(get_std=True)
    assert "miou" in metrics and all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("source", ["load_dir", "stage1_from"])
def test_one_process_goes_on_from_it(trained, source, small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, STEPS, STEPS + 4, **{source: trained.get_checkpoint_dir()})
    first = 2 * STEPS if source == "load_dir" else STEPS
    learnt = of_both(trained.output_dir)[0]
    assert trainer._start_step == first
    assert same(snapshot(trainer.pipeline.model), learnt) == (source == "load_dir")
    trainer.save_checkpoint(first - 1)
    assert "f2s_loss" in step_trainer(trainer, range(first, first + 2))
    geometry = {name: value for name, value in learnt.items() if name.startswith("geometry.")}
    after = snapshot(trainer.pipeline.model)
    assert same(geometry, {name: after[name] for name in geometry})


@pytest.mark.parametrize("done", [2, STEPS + 2], ids=["implicit", "semantic"])
def test_two_processes_go_on_where_one_stopped(done, small_town, make_trainer, step_trainer, tmp_path):
    trainer = make_trainer(small_town, STEPS, STEPS)
    step_trainer(trainer, range(done))
    trainer.save_checkpoint(done - 1)
    config = config_for("nerfseg-fast", small_town, tmp_path, load_dir=trainer.checkpoint_dir, timestamp="later")
    run_together(train, config, tmp_path)
    one, other = of_both(tmp_path)
    checkpoint = load(config.get_base_dir())
    assert same(one, other) and checkpoint["step"] == 2 * STEPS - 1
    assert all(adam_steps(checkpoint, group) == {STEPS} for group in checkpoint["optimizers"])
    geometry = snapshot(trainer.pipeline.model.geometry)
    assert same(geometry, {name: one[f"geometry.{name}"] for name in geometry}) == (done > STEPS)
