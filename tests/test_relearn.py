"""New labels given to a training that runs, or that is done and keeps its viewer up."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.runs import METHODS, rates, same, snapshot
from helpers.scenes import relabel
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation

from nerfseg_ns.core.stage import GUIDANCE_GROUP, LABEL_GROUPS, SEMANTIC_GROUP, Stage
from nerfseg_ns.training.trainer import StagedTrainer

IMPLICIT, SEMANTIC = 4, 6


@pytest.fixture
def town(small_town, tmp_path) -> Path:
    """A town of its own, for its labels to be changed."""
    return shutil.copytree(small_town, tmp_path / "town")


def press_at(trainer: StagedTrainer, at: int, before) -> list:
    """Has labels wanted once, right after a step; returns the steps that are trained, as they come."""
    trained = []

    def watch(step: int) -> None:
        trained.append(step)
        if step == at and trained.count(at) == 1:
            before()
            trainer.learn_labels_again()

    trainer.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], watch))
    return trained


def optimizer_steps(trainer: StagedTrainer, group: str) -> set:
    return {int(state["step"]) for state in trainer.optimizers.optimizers[group].state.values()}


@pytest.mark.parametrize("method", METHODS)
def test_stage_2_begins_anew_with_new_labels_and_classes(method, town, make_trainer):
    trainer = make_trainer(town, IMPLICIT, SEMANTIC, method)
    model = trainer.pipeline.model
    learnt = []

    def change() -> None:
        learnt.append(snapshot(model.geometry))
        relabel(town)

    trained = press_at(trainer, 7, change)
    trainer.train()
    assert trained == [*range(8), *range(4, 10)]
    assert same(learnt[0], snapshot(model.geometry))
    assert len(model.class_names) == len(model.palette) == 6
    assert optimizer_steps(trainer, SEMANTIC_GROUP) == {SEMANTIC}
    assert trainer.pipeline.datamanager.train_dataset.label_maps.labelled == (0, 9)
    assert "100 %" in model.viewer_stage.content
    assert all(name in model.viewer_legend.content for name in model.class_names)
    assert "2 of 16 training photos, 6 classes" in model.viewer_labels.notice.content
    heads = [
        value for name, value in torch.load(*trainer.checkpoint_dir.iterdir())["pipeline"].items() if "f2s" in name
    ]
    assert heads and all(len(head) == 6 for head in heads)


def test_it_learns_what_a_new_training_on_the_same_stage_1_would(town, make_trainer, step_trainer):
    trainer = make_trainer(town, IMPLICIT, SEMANTIC)
    step_trainer(trainer, range(IMPLICIT))
    trainer.save_checkpoint(IMPLICIT - 1)
    step_trainer(trainer, range(IMPLICIT, IMPLICIT + 3))
    relabel(town)
    trainer.take_new_labels()
    other = make_trainer(town, IMPLICIT, SEMANTIC, stage1_from=trainer.base_dir, timestamp="other")
    learnt_anew = ("semantics", "color_context")
    for part in learnt_anew:
        getattr(other.pipeline.model, part).load_state_dict(getattr(trainer.pipeline.model, part).state_dict())
    for one in (trainer, other):
        torch.manual_seed(5)
        random.seed(5)
        step_trainer(one, range(IMPLICIT, IMPLICIT + 3))
    assert rates(trainer) == rates(other)
    for part in ("geometry", *learnt_anew):
        assert same(snapshot(getattr(trainer.pipeline.model, part)), snapshot(getattr(other.pipeline.model, part)))


def test_stage_1_goes_on_where_it_was(town, make_trainer):
    trainer = make_trainer(town, IMPLICIT, SEMANTIC)
    trained = press_at(trainer, 1, lambda: relabel(town))
    trainer.train()
    assert trained == [*range(IMPLICIT + SEMANTIC)]
    geometry = trainer.optimizers.optimizers.keys() - LABEL_GROUPS
    assert {step for group in geometry for step in optimizer_steps(trainer, group)} == {IMPLICIT}
    assert optimizer_steps(trainer, GUIDANCE_GROUP) == {IMPLICIT - 2}  # it began anew with the labels
    assert len(trainer.pipeline.model.class_names) == 6 and trainer.pipeline.model.stage is Stage.SEMANTIC


def test_bad_labels_are_told_and_the_old_ones_stay(town, make_trainer, capsys):
    trainer = make_trainer(town, IMPLICIT, SEMANTIC)
    model = trainer.pipeline.model
    trained = press_at(trainer, 7, lambda: (town / "train/label/0003.png").write_bytes(b"no picture"))
    semantics, manager = model.semantics, trainer.pipeline.datamanager
    trainer.train()
    assert trained == [*range(IMPLICIT + SEMANTIC)]
    assert model.semantics is semantics and trainer.pipeline.datamanager is manager
    assert "the old ones stay" in model.viewer_labels.notice.content and "0003.png" in capsys.readouterr().out


def test_a_scene_that_stands_elsewhere_is_refused(town, make_trainer):
    trainer = make_trainer(town, IMPLICIT, SEMANTIC)
    pose = np.loadtxt(town / "train/pose/0005.txt").reshape(4, 4)
    pose[:3, 3] *= 0.9

    def move() -> None:
        np.savetxt(town / "train/pose/0005.txt", pose.reshape(1, 16))

    trained = press_at(trainer, 7, move)
    trainer.train()
    assert trained == [*range(IMPLICIT + SEMANTIC)]
    assert "other poses" in trainer.pipeline.model.viewer_labels.notice.content


def test_a_wish_before_the_first_step_is_not_forgotten(town, make_trainer):
    trainer = make_trainer(town, IMPLICIT, SEMANTIC)
    relabel(town)
    trainer.learn_labels_again()
    trainer.train()
    assert len(trainer.pipeline.model.class_names) == 6
    assert optimizer_steps(trainer, SEMANTIC_GROUP) == {SEMANTIC}


def test_only_a_training_alone_offers_it(town, make_trainer, fast_pipeline):
    button = make_trainer(town, IMPLICIT, SEMANTIC).pipeline.model.viewer_labels
    assert button.visible and not fast_pipeline.model.viewer_labels.visible
    fast_pipeline.model.viewer_labels.press()
    assert fast_pipeline.model.viewer_labels.notice.content == ""
