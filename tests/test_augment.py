"""`nerfseg augment`: a training set for other networks, from a trained run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image

from nerfseg_ns.augment.config import AugmentConfig
from nerfseg_ns.augment.novel_views import neighbours, views_between
from nerfseg_ns.augment.run import run_augment
from nerfseg_ns.augment.training_set import Item
from nerfseg_ns.dataparsers.photo_names import name_photos
from nerfseg_ns.demo.evaluate import label_map
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable

SIZE, NOVEL_VIEWS, MIN_CONFIDENCE = 48, 3, 0.6


@pytest.fixture(scope="module")
def made(ns, fast_run, tmp_path_factory) -> tuple[Path, str]:
    """Folder of a training set, made by the command in another folder than the run was trained in, and its output."""
    folder = tmp_path_factory.mktemp("augmented") / "my set"
    options = ["--splits", "train", "test", "--novel-views", NOVEL_VIEWS, "--min-confidence", MIN_CONFIDENCE]
    return folder, ns("nerfseg", "augment", "--load-config", fast_run, "--output-dir", folder, *options)


@pytest.fixture(scope="module")
def dataset(made) -> dict:
    return json.loads((made[0] / "dataset.json").read_text())


def items_of(dataset: dict, source: str, labels: str) -> list[dict]:
    return [item for item in dataset["items"] if (item["source"], item["labels"]) == (source, labels)]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_images_and_labels_of_one_name_in_lists(made, dataset, small_town):
    folder, printed = made
    names = {item["name"] for item in dataset["items"]}
    assert len(names) == 16 + 4 + NOVEL_VIEWS
    for place, shape in (("images", (SIZE, SIZE, 3)), ("labels", (SIZE, SIZE)), ("confidence", (SIZE, SIZE))):
        assert {path.stem for path in (folder / place).iterdir()} == names
        for path in (folder / place).iterdir():
            assert pixels(path).shape == shape and pixels(path).dtype == np.uint8
    lists = {split: (folder / f"{split}.txt").read_text().splitlines() for split in ("train", "test")}
    assert len(lists["train"]) == 16 + NOVEL_VIEWS and len(lists["test"]) == 4
    assert set(lists["train"]) | set(lists["test"]) == names and not set(lists["train"]) & set(lists["test"])
    table = ClassTable.load(small_town / "classes.json")
    assert ClassTable.load(folder / "classes.json") == table
    assert (folder / "classes.txt").read_text().splitlines() == dataset["classes"] == list(table.names)
    assert Image.open(next((folder / "labels").iterdir())).mode == "L"  # grey values are indices, for every reader
    assert "8 photos with their own labels, 12 photos with mapped labels, 3 rendered views" in printed


def test_photos_are_as_they_were_and_given_labels_too(made, dataset, small_town):
    given = items_of(dataset, "photo", "given")
    assert len(given) == 4 + 4  # of training and of test
    for item in dataset["items"]:
        if item["source"] == "photo":
            assert (pixels(made[0] / "images" / f"{item['name']}.png") == pixels(Path(item["photo"]))).all()
    for item in given:
        photo = Path(item["photo"])
        labels = pixels(photo.parent.parent / "label" / photo.name)
        assert (pixels(made[0] / "labels" / f"{item['name']}.png") == labels).all()
        certain = np.where(labels == IGNORE_INDEX, 0, 255)
        assert (pixels(made[0] / "confidence" / f"{item['name']}.png") == certain).all()


@torch.no_grad()
def test_mapped_labels_are_those_of_the_photos_own_colors(made, dataset, fast_pipeline):
    train, model = fast_pipeline.datamanager.train_dataset, fast_pipeline.model
    mapped = items_of(dataset, "photo", "mapped")
    assert len(mapped) == 12
    for item in mapped[:3]:
        index = train.image_filenames.index(Path(item["photo"]))
        with model.keeping_ray_features():
            outputs = model.get_view(train.cameras[index : index + 1])
        chances = model.classify_observed(outputs, train.get_data(index)["image"]).softmax(-1)
        sure, expected = (values.numpy() for values in chances.max(-1))
        confidence = pixels(made[0] / "confidence" / f"{item['name']}.png")
        assert np.abs(confidence / 255 - sure).max() < 0.004
        labels = pixels(made[0] / "labels" / f"{item['name']}.png")
        clear = np.abs(sure - MIN_CONFIDENCE) > 1e-4
        assert (labels == np.where(sure < MIN_CONFIDENCE, IGNORE_INDEX, expected))[clear].mean() > 0.999
        assert item["labelled_share"] == pytest.approx((labels != IGNORE_INDEX).mean(), abs=1e-4)
        assert item["mean_confidence"] == pytest.approx(sure.mean(), abs=1e-3)
    assert 0 < np.mean([item["labelled_share"] for item in mapped]) < 1  # some are left out, some are not


@torch.no_grad()
def test_rendered_views_lie_between_the_photos(made, dataset, fast_pipeline):
    train = fast_pipeline.datamanager.train_dataset
    novel = items_of(dataset, "novel view", "mapped")
    assert len(novel) == NOVEL_VIEWS
    for item, view in zip(novel, views_between(train.cameras, NOVEL_VIEWS)):
        assert item["between"] == [str(train.image_filenames[position]) for position in view.between]
        outputs = fast_pipeline.model.get_view(view.camera)
        image = pixels(made[0] / "images" / f"{item['name']}.png")
        assert np.abs(image - 255 * outputs["rgb"].clamp(0, 1).numpy()).max() < 1
        labels = pixels(made[0] / "labels" / f"{item['name']}.png")
        sure = labels != IGNORE_INDEX
        assert (labels == label_map(outputs))[sure].mean() > 0.999


# Parts


def cameras_at(positions: list[tuple[float, float, float]]) -> Cameras:
    poses = torch.eye(4)[:3].repeat(len(positions), 1, 1)
    poses[..., 3] = torch.tensor(positions)
    return Cameras(poses, fx=50.0, fy=50.0, cx=8.0, cy=8.0, width=16, height=16)


def test_neighbours_join_all_photos_by_the_shortest_ways():
    # a row of three and, off its end, a fourth photo; listed in another order
    assert neighbours(np.array([[0.0, 0, 0], [2, 0, 0], [1, 0, 0], [2, 3, 0]])) == [(0, 2), (1, 2), (1, 3)]
    assert neighbours(np.zeros((3, 3))) == []


def test_novel_views_are_spread_over_the_pairs():
    cameras = cameras_at([(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)])
    assert [view.between for view in views_between(cameras, 2)] == [(0, 1), (2, 3)]
    views = views_between(cameras, 7)  # two each, and one more in the middle
    assert [view.between for view in views] == [(0, 1), (0, 1), (1, 2), (1, 2), (1, 2), (2, 3), (2, 3)]
    places = [float(view.camera.camera_to_worlds[0, 0, 3]) for view in views]
    assert places == pytest.approx([1 / 3, 2 / 3, 1.25, 1.5, 1.75, 2 + 1 / 3, 2 + 2 / 3])
    assert all(int(view.camera.width) == 16 and float(view.camera.fx) == 50.0 for view in views)
    with pytest.raises(UserError, match="different places"):
        views_between(cameras_at([(0, 0, 0), (0, 0, 0)]), 1)


def test_names_are_stems_where_these_differ():
    photos = [Path("/a/images/p1.jpg"), Path("/a/images/p2.jpg")]
    assert list(name_photos(photos).values()) == ["p1", "p2"]
    tree = [Path("/a/train/rgb/01.png"), Path("/a/test/rgb/01.png"), Path("/a/test/rgb/02.png")]
    assert list(name_photos(tree).values()) == ["train_rgb_01", "test_rgb_01", "test_rgb_02"]


def test_names_tell_photos_apart_that_differ_in_their_suffix_alone():
    photos = [Path("/a/p1.jpg"), Path("/a/p1.png"), Path("/a/p2.jpg")]
    assert list(name_photos(photos).values()) == ["p1_jpg", "p1_png", "p2"]
    with pytest.raises(UserError, match="would both be called a_x_p. Rename one"):
        name_photos([Path(path) for path in ("/a/x_p.jpg", "/a/x/p.jpg", "/m/d/q.jpg", "/n/d/q.jpg")])


def test_unsure_pixels_are_not_labelled():
    labels = np.array([[0, 1, 2]], np.uint8)
    item = Item.mapped("view", np.zeros((1, 3, 3), np.uint8), labels, np.array([[0.4, 0.5, 0.9]], np.float32), 0.5)
    assert item.labels.tolist() == [[IGNORE_INDEX, 1, 2]]
    assert item.facts() == {"name": "view", "labels": "mapped", "mean_confidence": 0.6, "labelled_share": 0.6667}


# Errors


def test_bad_options_are_told_all_at_once(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    config = AugmentConfig(tmp_path / "config.yml", tmp_path, ("train", "train"), -1, 1.5)
    with pytest.raises(UserError) as error:
        run_augment(config)
    for message in ("is not empty", "names a split twice", "--novel-views is -1", "--min-confidence is 1.5", "no file"):
        assert message in error.value.text()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_no_finished_run_is_refused(tmp_path, make_trainer, small_town):
    other = tmp_path / "other.yml"
    other.write_text("a: 1\n")
    with pytest.raises(UserError, match="not the config.yml of a run of nerfseg"):
        run_augment(AugmentConfig(other, tmp_path / "out"))
    trainer = make_trainer(small_town, 2, 2)
    trainer.config.save_config()
    config_file = trainer.base_dir / "config.yml"
    with pytest.raises(UserError, match="No checkpoint"):
        run_augment(AugmentConfig(config_file, tmp_path / "out"))
    trainer.save_checkpoint(0)
    with pytest.raises(UserError, match="has not learnt labels yet"):
        run_augment(AugmentConfig(config_file, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_of_a_set_that_is_interrupted(fast_run, tmp_path, monkeypatch):
    added = []

    def add(self, item) -> None:
        added.append(item)
        if len(added) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("nerfseg_ns.augment.training_set.TrainingSet.add", add)
    with pytest.raises(KeyboardInterrupt):
        run_augment(AugmentConfig(fast_run, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_loaded_from_wherever_it_lies(fast_run, tmp_path):
    copy = shutil.copytree(fast_run.parent, tmp_path / "moved")
    folder = run_augment(AugmentConfig(copy / "config.yml", tmp_path / "out", ("val",), min_confidence=0.0))
    assert (folder / "val.txt").read_text().split() == ["0000", "0001", "0002"]
    assert json.loads((folder / "dataset.json").read_text())["run"] == str(copy)
