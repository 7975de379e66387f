"""The two stages: their schedule, and what moves in a run and what does not."""

import shutil

import pytest
import torch
from helpers.runs import METHODS, load, rates, same, snapshot
from nerfstudio.engine.callbacks import TrainingCallbackLocation

from nerfseg_ns.core.stage import SEMANTIC_GROUP, Stage
from nerfseg_ns.training.stages import StageScheduleConfig


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
@pytest.mark.parametrize("color", ["observed", "rendered", "mixed"])
def test_the_losses_reach_only_what_learns(method, color, small_town, make_trainer):
    trainer = make_trainer(small_town, 4, 5, method)
    pipeline = trainer.pipeline
    pipeline.model.config.training_color = color
    model = pipeline.model
    modules = {
        Stage.IMPLICIT: [model.geometry, model.guidance, model.exposures],
        Stage.SEMANTIC: [model.semantics, model.color_context],
    }
    for step, stage in ((0, Stage.IMPLICIT), (4, Stage.SEMANTIC)):
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, location=TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        pipeline.train()
        _, losses, _ = pipeline.get_train_loss_dict(step)
        learn = {id(parameter) for module in modules[stage] if module for parameter in module.parameters()}
        assert leaves_of(sum(losses.values())) == learn


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
    rays, _ = trainer.pipeline.datamanager.draw_train()
    one, other = (trainer.pipeline.model.render(rays)[-1] for _ in range(2))
    assert torch.equal(one.rgb, other.rgb)
    assert all(torch.equal(a.features, b.features) for a, b in zip(one.segments, other.segments, strict=True))
    assert not one.rgb.requires_grad and not one.segments[0].features.requires_grad


def test_the_runs_folder_is_there_before_nerfstudio_looks_for_it(small_town, make_trainer, monkeypatch):
    """Of several processes that find none, all but one would fail to make it."""
    found = []
    save = "nerfstudio.data.dataparsers.base_dataparser.DataparserOutputs.save_dataparser_transform"
    monkeypatch.setattr(save, lambda _, path: found.append(path.parent.is_dir()))
    trainer = make_trainer(small_town, 1, 1)
    shutil.rmtree(trainer.base_dir, ignore_errors=True)
    trainer.train()
    assert found == [True]


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


def test_the_training_loop_ends_after_both_stages(small_town, make_trainer):
    trainer = make_trainer(small_town, 3, 4)
    trainer.train()
    assert trainer.step == 6
    assert load(trainer.checkpoint_dir)["step"] == 6
