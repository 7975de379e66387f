"""`nerfseg check`: what it says of usable scenes, and its contact sheet."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, noise, save_image, write_photos, write_tree
from PIL import ExifTags, Image

from nerfseg_ns import cli
from nerfseg_ns.check.config import CheckConfig
from nerfseg_ns.check.facts import read_facts
from nerfseg_ns.check.sheet import BLEND
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.dataparsers.detect import CARLA_MVS, GOOGLE_EARTH, LABELLED_PHOTOS, detect_dataparser
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.pictures.label_colors import blend_labels
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town


@pytest.fixture
def check(monkeypatch, tmp_path, capsys):
    """Runs `nerfseg check` in a folder of its own and returns what it prints."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["nerfseg", "check", *map(str, arguments)])
        capsys.readouterr()
        cli.main()
        return capsys.readouterr().out

    return run


def test_facts_of_a_tree(tmp_path):
    facts = read_facts(write_tree(tmp_path), CheckConfig())
    assert facts.dataparser == CARLA_MVS and [split.name for split in facts.splits] == ["train", "val", "test"]
    train, val, test = facts.splits
    assert train.pixels.shape == (2, 256) and val.pixels.shape == (0, 256) and test.pixels.shape == (2, 256)
    counts = sum(np.bincount(label_array(index).ravel(), minlength=256) for index in (0, 2))
    assert train.class_pixels.tolist() == counts.tolist()
    assert facts.sizes() == ["12 x 8"] and facts.camera_model() == "perspective, no distortion"
    assert facts.georeference is None and facts.table == TABLE and facts.notes() == []


def test_a_class_of_the_test_labels_that_no_training_label_shows(tmp_path):
    write_tree(tmp_path)
    for index in (0, 2):
        save_image(tmp_path / "train" / "label" / f"{index:04d}.png", np.ones((HEIGHT, WIDTH), np.uint8))
    (note,) = read_facts(tmp_path, CheckConfig()).notes()
    assert note.startswith("Labels held out show Building, Vegetation, but no training label does")


def test_notes_of_empty_labels_and_of_nothing_held_out(tmp_path):
    root = write_photos(tmp_path, photos=2, labelled=(0, 1))
    save_image(root / "labels" / "p00.png", np.full((HEIGHT, WIDTH), IGNORE_INDEX, np.uint8))
    notes = read_facts(root, CheckConfig()).notes()
    assert any("p00.png labels not one pixel" in note for note in notes)
    assert any("No photo is held out" in note for note in notes)


def test_what_is_printed_and_the_sheet(check, tmp_path):
    told = check(write_photos(tmp_path / "scene"))
    for text in ("labelled-photos-data", "12 x 8 pixels", "val = test", "Vegetation", "107, 142, 35", "33.33 %"):
        assert text in told
    assert "farthest camera at 0.909" in told and "--experiment-name scene labelled-photos-data --data" in told
    sheet = np.asarray(Image.open("contact-sheet.png").convert("RGB"))
    for color in TABLE.colors:  # the legend's swatches
        assert (sheet == color).all(axis=-1).sum() >= 150


def test_a_georeferenced_scene_says_where_it_is(check, tmp_path):
    town = TownConfig(image_size=16, train_views=4, validation_views=1, test_views=1, layout="earth-studio")
    scene = make_town(town, tmp_path / "town")
    told = check(scene, "--contact-sheet", "None")
    assert "google-earth-data" in told and "origin 47.376900, 8.541700 at 408.0 m; 1 scene unit = 1" in told
    assert not list((tmp_path / "here").iterdir())


def test_labels_are_blended_where_there_are_any():
    photo, labels = noise(0), label_array(0)
    labels[0] = IGNORE_INDEX
    mixed = blend_labels(photo, labels, TABLE.color_array, BLEND)
    assert (mixed[0] == photo[0]).all()
    for row in range(1, HEIGHT):
        for column in range(WIDTH):
            color = np.array(TABLE.colors[labels[row, column]])
            expected = (1 - BLEND) * photo[row, column] + BLEND * color
            assert np.abs(mixed[row, column] - expected).max() <= 0.5


def test_dataparsers_are_told_by_the_files(tmp_path):
    assert detect_dataparser(write_tree(tmp_path / "a")) == CARLA_MVS
    photos = write_photos(tmp_path / "b")
    assert detect_dataparser(photos) == detect_dataparser(photos / "transforms.json") == LABELLED_PHOTOS
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cut off.json").write_text('{"width": 8, "cameraFrames": [{"pos')
    assert detect_dataparser(tmp_path / "c") == GOOGLE_EARTH
    for folder in ("d", "c/cut off.txt"):
        with pytest.raises(UserError):
            detect_dataparser(tmp_path / folder)


def test_training_without_a_dataparsers_name_says_which(tmp_path):
    root = write_photos(tmp_path)
    with pytest.raises(UserError, match="looks like a scene for labelled-photos-data: name it, as in ns-train"):
        CarlaMVSDataParserConfig(data=root).setup().get_dataparser_outputs("train")


def test_an_option_that_the_dataparser_has_not(tmp_path):
    with pytest.raises(UserError, match="--labels-data is not an option of labelled-photos-data"):
        read_facts(write_photos(tmp_path), CheckConfig(labels_data=tmp_path))


def test_a_labelled_photo_that_other_programs_turn_is_noted(tmp_path):
    root = write_photos(tmp_path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    for stem in ("p00", "p01"):  # only the first is labelled
        Image.fromarray(noise(0)).save(root / "images" / f"{stem}.png", exif=exif)
    note, held_out = read_facts(root, CheckConfig()).notes()
    assert "p00.png has an EXIF orientation" in note and held_out.startswith("No photo is held out")
