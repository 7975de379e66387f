"""`nerfseg compare`: what is planned for which scenes, and what is told of bad input."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.comparisons import names_of, scene_info, with_truth
from helpers.scenes import HEIGHT, WIDTH, label_array, save_image, write_photos, write_tree

from nerfseg_ns import cli
from nerfseg_ns.compare import plan
from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.folder import CompareFolder
from nerfseg_ns.compare.jobfile import JobFile
from nerfseg_ns.compare.plan import plan_jobs
from nerfseg_ns.compare.run import run_compare
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.compare.scenes import SceneInfo, enter_scenes
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX


@pytest.mark.parametrize("guided", [True, False])
def test_stage_1_is_shared_and_comes_first(guided, monkeypatch):
    """By all labels if they play no part in it, else by all methods that learn from the same ones."""
    monkeypatch.setattr(plan, "GUIDED", ("nerfseg-fast",) if guided else ())
    config = CompareConfig(methods=("unet", "transfer", "fast-r", "fast"), seeds=(0, 7), labels=(1, 0))
    jobs = plan_jobs([scene_info("a"), scene_info("b")], config)
    names = names_of(jobs)
    endings = ["-labels-1", ""] if guided else [""]
    stage1 = [f"{s}/nerfseg-fast-stage-1-seed-{seed}{end}" for s in "ab" for seed in (0, 7) for end in endings]
    assert [name for name in names if "stage-1" in name] == stage1
    assert len(names) == len(set(names)) == len(stage1) + 2 * 2 * 2 * 4
    for position, job in enumerate(jobs):
        assert all(need.name in names[:position] for need in job.needs)
        end = "-labels-1" if guided and job.labels else ""
        needed = f"{job.scene.name}/nerfseg-fast-stage-1-seed-{job.seed}{end}"
        assert names_of(job.needs) == ([needed] if job.method and job.method != "unet" else [])
    assert "a/fast-seed-7-labels-1" in names and "b/fast-seed-0" in names


def test_each_geometry_has_a_stage_1_of_its_own():
    jobs = plan_jobs([scene_info()], CompareConfig(methods=("paper", "paper-r", "fast", "seg-nerf")))
    assert names_of(jobs) == [
        "town/nerfseg-stage-1-seed-0",
        "town/paper-seed-0",
        "town/paper-r-seed-0",
        "town/nerfseg-fast-stage-1-seed-0",
        "town/fast-seed-0",
        "town/seg-nerf-seed-0",  # trained jointly: it shares nothing
    ]


def test_maps_are_those_of_the_same_seed_and_labels():
    config = CompareConfig(methods=("unet+maps", "unet+truth"), seeds=(3,), labels=(2,))
    stage1, fast, maps, truth = plan_jobs([scene_info()], config)
    assert names_of([stage1, fast]) == [
        "town/nerfseg-fast-stage-1-seed-3-labels-2",
        "town/fast-seed-3-labels-2",
    ]
    assert maps.needs == (fast,) and fast.needs == (stage1,) and truth.needs == ()
    assert not fast.maps_all  # all truth is known, so that all photos are mapped anyway


def test_all_unlabelled_photos_are_mapped_where_their_truth_is_not_known_but_their_maps_are_needed():
    scene = scene_info(known={0: 0})
    assert not plan_jobs([scene], CompareConfig(methods=("fast",)))[-1].maps_all
    jobs = plan_jobs([scene], CompareConfig(methods=("fast", "unet+maps")))
    assert [job.maps_all for job in jobs if job.method == "fast"] == [True]


def test_a_job_runs_again_when_what_it_depends_on_changes_and_only_then(monkeypatch):
    config = CompareConfig(methods=("unet", "fast", "unet+maps"))

    def digests(scene: SceneInfo, config: CompareConfig) -> dict[str, str]:
        return {job.name: job.digest for job in plan_jobs([scene], config)}

    def changed(scene: SceneInfo, config: CompareConfig) -> set[str]:
        now = digests(scene, config)
        return {name.split("/")[1].split("-seed")[0] for name in before if now[name] != before[name]}

    before = digests(scene_info(), config)
    assert len(set(before.values())) == len(before)
    assert changed(scene_info(), replace(config, processes=3, output_dir=Path("elsewhere"))) == set()
    assert changed(scene_info(), replace(config, cnn_epochs=5)) == {"unet", "unet+maps"}
    assert changed(scene_info(), replace(config, semantic_steps=5)) == {"fast", "unet+maps"}
    assert changed(scene_info(), replace(config, implicit_steps=5)) == {"nerfseg-fast-stage-1", "fast", "unet+maps"}
    assert changed(scene_info(labels="others"), config) == {"nerfseg-fast-stage-1", "unet", "fast", "unet+maps"}
    monkeypatch.setattr(plan, "GUIDED", ())
    before = digests(scene_info(), config)
    assert changed(scene_info(labels="others"), config) == {"unet", "fast", "unet+maps"}
    assert changed(scene_info(photos="others"), config) == {"nerfseg-fast-stage-1", "unet", "fast", "unet+maps"}


# Scenes and options


def test_what_is_known_of_a_scene(tmp_path):
    scene = with_truth(write_tree(tmp_path / "tree"))
    (found,) = enter_scenes([scene], CompareConfig(labels=(1, 0), methods=("unet+truth", "unet+maps")))
    assert (found.name, found.folder, found.labelled) == ("tree", scene, 2)
    assert found.unlabelled == found.known == {1: 3, 0: 2}


def test_the_digests_follow_the_files(tmp_path):
    def digests(scene: Path) -> tuple[str, str]:
        (found,) = enter_scenes([scene], CompareConfig())
        return found.photos, found.labels

    photos, labels = digests(write_tree(tmp_path / "a"))
    assert digests(write_tree(tmp_path / "b")) == (photos, labels)
    changed = write_tree(tmp_path / "c")
    save_image(changed / "train" / "label" / "0002.png", label_array(77))
    assert digests(changed)[0] == photos and digests(changed)[1] != labels
    moved = write_tree(tmp_path / "d")
    pose = moved / "train" / "pose" / "0001.txt"
    pose.write_text(pose.read_text().replace("0.1", "0.2"))
    assert digests(moved)[0] != photos and digests(moved)[1] == labels


def test_photos_that_are_learnt_from_can_be_scored(tmp_path):
    scene, truth = write_photos(tmp_path / "field"), tmp_path / "truth" / "field"
    for index in (0, 3, 7):  # of 0 the methods see the labels
        save_image(truth / f"p{index:02d}.png", label_array(40 + index))
    read = ComparedScene(scene, truth=truth)
    assert [read.test.image_filenames[view].stem for view in read.test_views] == ["p03", "p07"]
    assert read.test.image_filenames == read.train.image_filenames
    np.testing.assert_array_equal(read.read("test", 3).labels, label_array(43))
    assert (read.read("train", 3).labels == IGNORE_INDEX).all()

    (found,) = enter_scenes([scene], CompareConfig(truth=tmp_path / "truth"))
    (job,) = plan_jobs([found], CompareConfig(methods=("unet",), truth=tmp_path / "truth"))
    saved = JobFile.of(job, CompareFolder(tmp_path / "out"), threads=1)
    assert saved.open_scene().truth == found.truth == truth
    save_image(truth / "p07.png", label_array(99))
    (changed,) = enter_scenes([scene], CompareConfig(truth=tmp_path / "truth"))
    assert changed.labels != found.labels and changed.photos == found.photos


def test_truth_that_cannot_be_scored_on(tmp_path):
    scene, truth = write_photos(tmp_path / "field"), tmp_path / "truth"
    assert f"There is no folder {truth / 'field'}" in refuse([scene], truth=truth)
    save_image(truth / "field" / "p00.png", label_array(1))
    assert "No photo of" in refuse([scene], truth=truth) and "--truth" in refuse([scene])
    save_image(truth / "field" / "other.png", label_array(1))
    assert "belongs to no photo" in refuse([scene], truth=truth)


def refuse(scenes: list[Path], **options) -> str:
    """The message with which a comparison is refused before anything is written."""
    folder = scenes[0].parent / "out" if scenes else Path("never-written")
    with pytest.raises(UserError) as error:
        run_compare(scenes, CompareConfig(output_dir=folder, **options))
    assert not folder.exists()
    return error.value.text()


def test_bad_options_are_told_all_at_once(tmp_path):
    told = refuse([tmp_path], methods=("unet", "unet"), seeds=(), labels=(-1,), processes=-2, cnn_epochs=0)
    for message in (
        "--methods names unet 2 times",
        "--seeds names nothing",
        "--labels is -1; it must be at least 0",
        "--processes is -2",
        "--cnn-epochs is 0; it must be at least 1",
    ):
        assert message in told
    assert "No scene is named" in refuse([])


def test_scenes_that_cannot_be_compared_on_are_told_all_at_once(tmp_path):
    unlabelled = write_tree(tmp_path / "unlabelled")
    shutil.rmtree(unlabelled / "test" / "label")
    blank = write_tree(tmp_path / "blank")
    for path in (blank / "test" / "label").iterdir():
        save_image(path, np.full((HEIGHT, WIDTH), IGNORE_INDEX, np.uint8))
    told = refuse([tmp_path / "missing", unlabelled, blank])
    assert f"There is no folder {tmp_path / 'missing'}" in told
    assert f"{unlabelled} holds no labelled view out" in told
    assert f"The held-out labels of {blank} do not label a single pixel" in told


def test_scenes_are_told_apart_by_their_names(tmp_path):
    scenes = [write_tree(tmp_path / place / "town") for place in "ab"]
    assert "2 scenes are called town" in refuse(scenes)


def test_labels_that_the_scene_has_not(tmp_path):
    scene = write_tree(tmp_path / "tree")
    assert f"--labels asks for 3 labelled photos, but {scene} has 2" in refuse([scene], labels=(3,))
    assert "--labels 0 and 2 are the same" in refuse([scene], labels=(0, 2))


def test_extra_labels_need_photos_for_them(tmp_path):
    scene = write_tree(tmp_path / "tree")
    told = refuse([scene], methods=("unet", "deeplabv3+truth"))
    assert "deeplabv3+truth needs true labels" in told and "tree has none" in told
    full = write_tree(tmp_path / "full", labelled=(0, 1, 2, 3))
    assert "unet+maps needs unlabelled training photos" in refuse([full], methods=("unet+maps",))


def test_a_folder_with_something_else_is_kept(tmp_path):
    scene, folder = write_tree(tmp_path / "tree"), tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep me")
    with pytest.raises(UserError, match="something else already.*--output-dir"):
        run_compare([scene], CompareConfig(output_dir=folder))
    with pytest.raises(UserError, match="is a file"):
        run_compare([scene], CompareConfig(output_dir=folder / "notes.txt"))
    with pytest.raises(UserError, match="nothing to draw"):
        run_compare([scene], CompareConfig(output_dir=folder, redraw=True))
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_the_command_is_that_which_was_given(monkeypatch):
    config = CompareConfig(methods=("fast", "unet+maps"), seeds=(0, 1), implicit_steps=50, output_dir=Path("my out"))
    command = config.command([Path("a"), Path("b c")])
    assert command == (
        "nerfseg compare a 'b c' --output-dir 'my out' --methods fast unet+maps --seeds 0 1 --implicit-steps 50"
    )
    given = []
    monkeypatch.setattr("nerfseg_ns.compare.run.run_compare", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    cli.main()
    assert given == [((Path("a"), Path("b c")), config)]
