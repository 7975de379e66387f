"""Resume within each stage, and stage 1 taken from another run."""

import random
import shutil
from pathlib import Path

import pytest
import torch
from helpers.runs import METHODS, adam_steps, geometry_of, load, rates, same, snapshot
from helpers.scenes import relabel

from nerfseg_ns.core.stage import SEMANTIC_GROUP, Stage
from nerfseg_ns.errors import UserError
from nerfseg_ns.training.checkpoints import find_checkpoint
from nerfseg_ns.training.stages import StageScheduleConfig


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
        torch.manual_seed(0)  # as at the start: patches of photos follow from the seed of a training
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


@pytest.fixture(scope="module")
def relabelled_town(small_town, tmp_path_factory) -> Path:
    """The small town with half as many classes, and with labels on two other views."""
    folder = shutil.copytree(small_town, tmp_path_factory.mktemp("relabelled") / "town")
    relabel(folder)
    return folder


def test_stage_1_of_a_run_serves_other_classes_and_labels(train, fast_run, relabelled_town):
    run = train("nerfseg-fast", "--stage1-from", fast_run.parent, scene=relabelled_town, implicit=150, semantic=15)
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
    with pytest.raises(UserError, match=f"No checkpoint.*{name}"):
        make_trainer(small_town, 2, 2, stage1_from=tmp_path / name)


def test_another_geometry_is_an_error(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 2, 2)
    step_trainer(trainer, range(1))
    trainer.save_checkpoint(0)
    with pytest.raises(UserError, match="not the one that this run is set up for"):
        make_trainer(small_town, 2, 2, "nerfseg", stage1_from=trainer.base_dir, timestamp="other")
