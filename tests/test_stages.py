"""The two stages: schedule, what moves and what does not, resume, and stage 1 taken from another run."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from PIL import Image

from nerfseg_ns.errors import SceneError
from nerfseg_ns.training.callback import SEMANTIC_GROUP
from nerfseg_ns.training.stages import Stage, StageScheduleConfig
from nerfseg_ns.training.trainer import find_checkpoint

METHODS = ["nerfseg-fast", "nerfseg"]


def snapshot(module: torch.nn.Module) -> dict:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rates(trainer) -> dict:
    """Learning rates by group."""
    return {name: optimizer.param_groups[0]["lr"] for name, optimizer in trainer.optimizers.optimizers.items()}


def base_rate(trainer, group: str) -> float:
    return trainer.config.optimizers[group]["optimizer"].lr


def leaves_of(loss: torch.Tensor) -> set:
    """Ids of the parameters that a loss's graph leads back to."""
    found, seen, todo = set(), set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        todo.extend(child for child, _ in node.next_functions)
    return found


def adam_steps(checkpoint: dict, group: str) -> set:
    """How many steps the optimizer of a group has made, over its parameters."""
    return {int(state["step"]) for state in checkpoint["optimizers"][group]["state"].values()}


def load(run: Path) -> dict:
    return torch.load(find_checkpoint(run), map_location="cpu", weights_only=True)


def geometry_of(checkpoint: dict) -> dict:
    return {name: value for name, value in checkpoint["pipeline"].items() if name.startswith("_model.geometry.")}


# schedule


def test_schedule_of_the_stages():
    schedule = StageScheduleConfig(implicit_steps=10, semantic_steps=4)
    assert schedule.total_steps == 14
    stages = [schedule.stage_at(step) for step in range(16)]
    assert stages == [Stage.IMPLICIT] * 10 + [Stage.SEMANTIC] * 6
    assert [schedule.progress_at(step) for step in (0, 9, 10, 13, 14, 99)] == [
        (0, 10),
        (9, 10),
        (0, 4),
        (3, 4),
        (4, 4),
        (4, 4),
    ]
    assert StageScheduleConfig(implicit_steps=0, semantic_steps=4).stage_at(0) is Stage.SEMANTIC


def test_learning_rates_fall_within_each_stage_and_start_fresh():
    schedule = StageScheduleConfig(
        implicit_steps=100, semantic_steps=50, implicit_lr_final=0.01, semantic_lr_final=0.25
    )
    factors = [schedule.learning_rate_factor(step) for step in range(150)]
    assert factors[0] == factors[100] == 1.0
    assert all(later < earlier for earlier, later in zip(factors[:99], factors[1:100], strict=True))
    assert all(later < earlier for earlier, later in zip(factors[100:149], factors[101:150], strict=True))
    assert factors[50] == pytest.approx(0.01**0.5) and factors[125] == pytest.approx(0.5)
    assert schedule.learning_rate_factor(150) == schedule.learning_rate_factor(999) == pytest.approx(0.25)
    flat = StageScheduleConfig(10, 10, implicit_lr_final=1.0, semantic_lr_final=1.0)
    assert [flat.learning_rate_factor(step) for step in range(20)] == [1.0] * 20


def test_warm_up_rises_at_the_start_of_each_stage():
    schedule = StageScheduleConfig(100, 50, implicit_lr_final=1.0, semantic_lr_final=1.0, warmup_steps=4)
    for start in (0, 100):
        factors = [schedule.learning_rate_factor(start + step) for step in range(6)]
        assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


# within one run


@pytest.mark.parametrize("method", METHODS)
def test_stages_of_a_run(method, small_town, make_trainer, step_trainer):
    """Geometry learns first and then does not move by one bit; the semantic modules the other way round."""
    trainer = make_trainer(small_town, 4, 5, method)
    model = trainer.pipeline.model
    geometry_groups = set(trainer.optimizers.optimizers) - {SEMANTIC_GROUP}
    start, labels_at_start = snapshot(model.geometry), snapshot(model.semantics)
    assert not any("f2s" in name for name in step_trainer(trainer, range(4)))
    assert all(parameter.grad is None for parameter in model.semantics.parameters())
    assert same(labels_at_start, snapshot(model.semantics))
    learnt = snapshot(model.geometry)
    assert not same(start, learnt)
    assert rates(trainer)[SEMANTIC_GROUP] == 0

    assert "f2s_loss" in step_trainer(trainer, range(4, 9))
    assert same(learnt, snapshot(model.geometry))
    assert all(parameter.grad is None for parameter in model.geometry.parameters())
    assert not any(parameter.requires_grad for parameter in model.geometry.parameters())
    moved = snapshot(model.semantics)
    assert all(not torch.equal(labels_at_start[name], moved[name]) for name in moved if name.endswith("weight"))
    assert all(rates(trainer)[group] == 0 for group in geometry_groups)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("colour", ["observed", "rendered", "mixed"])
def test_the_losses_reach_only_what_learns(method, colour, small_town, make_trainer):
    trainer = make_trainer(small_town, 4, 5, method)
    pipeline = trainer.pipeline
    pipeline.model.config.training_colour = colour
    groups = {
        Stage.IMPLICIT: {id(parameter) for parameter in pipeline.model.geometry.parameters()},
        Stage.SEMANTIC: {id(parameter) for parameter in pipeline.model.semantics.parameters()},
    }
    for step, stage in ((0, Stage.IMPLICIT), (4, Stage.SEMANTIC)):
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, location=TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        pipeline.train()
        _, losses, _ = pipeline.get_train_loss_dict(step)
        assert leaves_of(sum(losses.values())) == groups[stage]


def test_the_callback_is_idempotent(small_town, make_trainer):
    trainer = make_trainer(small_town, 4, 5)
    model = trainer.pipeline.model

    def enter(step: int) -> dict:
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, location=TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        return {
            "rates": rates(trainer),
            "learns": [parameter.requires_grad for parameter in model.parameters()],
            "training": [module.training for module in model.modules()],
            "stage": (model.stage, trainer.pipeline.datamanager.train_pixel_sampler.stage),
            "text": model.viewer_stage.content,
            "state": {name: value.tolist() for name, value in model.geometry.frame.state_dict().items()},
        }

    for step in (0, 2, 4, 8):
        weights = snapshot(model.semantics)
        once = enter(step)
        assert enter(step) == once
        assert same(weights, snapshot(model.semantics))
    first = enter(1)
    enter(7)
    assert enter(1) == first  # and it leads back, too


@pytest.mark.parametrize("method", METHODS)
def test_frozen_geometry_renders_the_same_while_training(method, small_town, make_trainer, step_trainer):
    """In the semantic stage the geometry is in evaluation mode: no jitter, no random background."""
    trainer = make_trainer(small_town, 2, 5, method)
    step_trainer(trainer, range(3))
    trainer.pipeline.train()
    rays, _ = trainer.pipeline.datamanager.next_train(3)
    one, other = (trainer.pipeline.model.render(rays)[-1] for _ in range(2))
    assert torch.equal(one.rgb, other.rgb)
    assert all(torch.equal(a.features, b.features) for a, b in zip(one.segments, other.segments, strict=True))
    assert not one.rgb.requires_grad and not one.segments[0].features.requires_grad


def test_learning_rates_at_the_switch(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 6, 8)
    schedule = trainer.config.pipeline.stages
    schedule.warmup_steps, schedule.implicit_lr_final, schedule.semantic_lr_final = 0, 0.1, 0.5
    for step in range(14):
        step_trainer(trainer, [step])
        learning = schedule.stage_at(step) is Stage.SEMANTIC
        for group, rate in rates(trainer).items():
            if (group == SEMANTIC_GROUP) != learning:
                assert rate == 0
            elif learning:
                assert rate == pytest.approx(base_rate(trainer, group) * 0.5 ** ((step - 6) / 8))
            else:
                assert rate == pytest.approx(base_rate(trainer, group) * 0.1 ** (step / 6))


def test_evaluation_during_training_leaves_the_run_as_it_was(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 3, 3)
    for steps in (range(3), range(3, 5)):
        step_trainer(trainer, steps)
        before = snapshot(trainer.pipeline.model), rates(trainer)
        _, losses, _ = trainer.pipeline.get_eval_loss_dict(steps[-1])
        metrics, images = trainer.pipeline.get_eval_image_metrics_and_images(steps[-1])
        averages = trainer.pipeline.get_average_eval_image_metrics(steps[-1])
        assert all(torch.isfinite(torch.as_tensor(value)).all() for value in [*losses.values(), *averages.values()])
        assert all(torch.isfinite(image).all() for image in images.values()) and "psnr" in metrics
        assert ("miou" in averages) == (steps[-1] >= 3)
        assert same(before[0], snapshot(trainer.pipeline.model)) and before[1] == rates(trainer)


# resume


@pytest.mark.parametrize("interrupted_after", [4, 9], ids=["implicit", "semantic"])
def test_a_resumed_run_is_the_uninterrupted_one(interrupted_after, small_town, make_trainer, step_trainer):
    """Weights and optimizer states after a resume, and after some more steps with the same random numbers."""
    trainer = make_trainer(small_town, 7, 6)
    step_trainer(trainer, range(interrupted_after))
    trainer.save_checkpoint(interrupted_after - 1)
    resumed = make_trainer(small_town, 7, 6, load_dir=trainer.checkpoint_dir)
    assert resumed._start_step == interrupted_after

    def states(one):
        return {
            name: [state[key] for state in optimizer.state.values() for key in sorted(state)]
            for name, optimizer in one.optimizers.optimizers.items()
        }

    def assert_same() -> None:
        assert same(snapshot(trainer.pipeline.model), snapshot(resumed.pipeline.model))
        first, second = states(trainer), states(resumed)
        assert {name: len(state) for name, state in first.items()} == {name: len(s) for name, s in second.items()}
        assert all(torch.equal(a, b) for name in first for a, b in zip(first[name], second[name], strict=True))

    assert_same()
    for one in (trainer, resumed):
        torch.manual_seed(5)
        random.seed(5)
        step_trainer(one, range(interrupted_after, interrupted_after + 2))
    assert_same()
    assert rates(trainer) == rates(resumed)


@pytest.fixture(scope="module")
def interrupted(train, small_town) -> list:
    """Real runs: one stopped within stage 1, its continuation stopped within stage 2, the rest; 30 + 20 steps."""
    runs = []
    for stop in (18, 41, None):
        flags = [] if stop is None else ["--max-num-iterations", stop]
        if runs:
            flags += ["--load-dir", runs[-1].parent / "nerfstudio_models"]
        runs.append(train("nerfseg-fast", *flags, scene=small_town, implicit=30, semantic=20))
    return runs


def test_resumed_processes_end_where_one_run_would(interrupted):
    assert [load(run)["step"] for run in interrupted] == [17, 40, 49]


def test_resumed_processes_lose_and_repeat_no_step(interrupted):
    for run, implicit, semantic in zip(interrupted, (18, 30, 30), (0, 11, 20), strict=True):
        checkpoint = load(run)
        for group in checkpoint["optimizers"]:
            expected = semantic if group == SEMANTIC_GROUP else implicit
            assert adam_steps(checkpoint, group) == ({expected} if expected else set()), group


def test_resumed_processes_keep_the_geometry_of_stage_1(interrupted):
    assert not same(geometry_of(load(interrupted[0])), geometry_of(load(interrupted[1])))
    assert same(geometry_of(load(interrupted[1])), geometry_of(load(interrupted[2])))


def test_resumed_processes_follow_the_schedule(interrupted):
    from nerfseg_ns.method_configs.nerfseg_fast import nerfseg_fast

    schedule = StageScheduleConfig(**{**vars(nerfseg_fast.config.pipeline.stages), "implicit_steps": 30})
    schedule.semantic_steps = 20
    for run in interrupted:
        checkpoint = load(run)
        step = checkpoint["step"]
        for group, state in checkpoint["optimizers"].items():
            learns = (group == SEMANTIC_GROUP) == (schedule.stage_at(step) is Stage.SEMANTIC)
            rate = nerfseg_fast.config.optimizers[group]["optimizer"].lr * schedule.learning_rate_factor(step)
            assert state["param_groups"][0]["lr"] == pytest.approx(rate if learns else 0.0), (step, group)


def test_a_finished_run_has_nothing_left_to_train(small_town, make_trainer, step_trainer, capsys):
    trainer = make_trainer(small_town, 2, 2)
    step_trainer(trainer, range(4))
    trainer.save_checkpoint(3)
    resumed = make_trainer(small_town, 2, 2, load_dir=trainer.checkpoint_dir)
    before = snapshot(resumed.pipeline.model)
    resumed.train()
    assert same(before, snapshot(resumed.pipeline.model))
    assert "Nothing left to train" in capsys.readouterr().out
    assert [path.name for path in trainer.checkpoint_dir.iterdir()] == ["step-000000003.ckpt"]


def test_the_training_loop_ends_after_both_stages(small_town, make_trainer):
    trainer = make_trainer(small_town, 3, 4)
    trainer.train()
    assert trainer.step == 6
    assert load(trainer.checkpoint_dir)["step"] == 6


# stage 1 from another run


@pytest.fixture(scope="module")
def relabelled_town(small_town, tmp_path_factory) -> Path:
    """The small town with half as many classes, and with labels on two other views."""
    folder = shutil.copytree(small_town, tmp_path_factory.mktemp("relabelled") / "town")
    classes = json.loads((folder / "classes.json").read_text())
    classes["classes"] = classes["classes"][::2]
    (folder / "classes.json").write_text(json.dumps(classes))
    truth = folder / "truth/train/label"
    shutil.rmtree(folder / "train/label")
    (folder / "train/label").mkdir()
    for stem in ("0000", "0009"):
        shutil.copy(truth / f"{stem}.png", folder / "train/label")
    for path in folder.glob("*/label/*.png"):
        labels = np.asarray(Image.open(path)) // 2
        Image.fromarray(labels.astype(np.uint8)).save(path)
    return folder


def test_stage_1_of_a_run_serves_other_classes_and_labels(train, fast_run, relabelled_town):
    run = train(
        "nerfseg-fast", "--stage1-from", fast_run.parent, scene=relabelled_town, implicit=150, semantic=15
    )
    source, checkpoint = load(fast_run), load(run)
    assert checkpoint["step"] == 150 + 15 - 1
    assert same(geometry_of(source), geometry_of(checkpoint))
    assert adam_steps(checkpoint, SEMANTIC_GROUP) == {15}
    for group in set(checkpoint["optimizers"]) - {SEMANTIC_GROUP}:
        assert adam_steps(checkpoint, group) == set()
    heads = [value for name, value in checkpoint["pipeline"].items() if "f2s" in name and name.endswith("weight")]
    assert heads and all(len(head) == 6 for head in heads)


@pytest.mark.parametrize("method", METHODS)
def test_stage_1_is_taken_over_bit_by_bit(method, small_town, make_trainer, step_trainer, tmp_path):
    trainer = make_trainer(small_town, 3, 2, method)
    step_trainer(trainer, range(3))
    trainer.save_checkpoint(2)
    learnt = snapshot(trainer.pipeline.model.geometry)
    spellings = [trainer.base_dir, trainer.checkpoint_dir, trainer.checkpoint_dir / "step-000000002.ckpt"]
    for number, spelling in enumerate(spellings):
        later = make_trainer(small_town, 9, 2, method, stage1_from=spelling, timestamp=f"later-{number}")
        assert later._start_step == 9
        assert same(learnt, snapshot(later.pipeline.model.geometry))
        step_trainer(later, range(9, 11))
        assert same(learnt, snapshot(later.pipeline.model.geometry))


def test_a_resume_goes_before_stage_1_of_another_run(small_town, make_trainer, step_trainer):
    """The command that started stage 2 from another run can be repeated with --load-dir to resume it."""
    first = make_trainer(small_town, 2, 4)
    step_trainer(first, range(2))
    first.save_checkpoint(1)
    second = make_trainer(small_town, 2, 4, stage1_from=first.base_dir, timestamp="second")
    step_trainer(second, range(2, 4))
    second.save_checkpoint(3)
    resumed = make_trainer(small_town, 2, 4, stage1_from=first.base_dir, load_dir=second.checkpoint_dir)
    assert resumed._start_step == 4
    assert same(snapshot(second.pipeline.model), snapshot(resumed.pipeline.model))


def test_the_newest_checkpoint_is_found(tmp_path):
    models = tmp_path / "run" / "nerfstudio_models"
    models.mkdir(parents=True)
    for step in (99, 1000, 20000):
        (models / f"step-{step:09d}.ckpt").touch()
    (tmp_path / "run" / "config.yml").touch()
    newest = models / "step-000020000.ckpt"
    assert {find_checkpoint(path) for path in (tmp_path / "run", models, tmp_path / "run/config.yml", newest)} == {
        newest
    }


@pytest.mark.parametrize("name", ["empty", "missing", "missing.ckpt"])
def test_a_run_without_a_checkpoint_is_an_error(name, tmp_path, small_town, make_trainer):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SceneError, match=f"No checkpoint.*{name}"):
        make_trainer(small_town, 2, 2, stage1_from=tmp_path / name)


def test_another_geometry_is_an_error(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 2, 2)
    step_trainer(trainer, range(1))
    trainer.save_checkpoint(0)
    with pytest.raises(SceneError, match="not the one that this run is set up for"):
        make_trainer(small_town, 2, 2, "nerfseg", stage1_from=trainer.base_dir, timestamp="other")
