"""nerfseg segment: label maps of all photos, from the eye alone and with a run, as a user would call it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.scenes import noise, save_image, write_photos
from PIL import Image

from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotosDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.eye.config import DEFAULT_BACKBONE
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.eye_source import what_skill_means
from nerfseg_ns.segment.photos import find_pictures
from nerfseg_ns.segment.run import run_segment
from nerfseg_ns.semantics.taught_field import FieldEyeConfig

pytestmark = pytest.mark.slow

QUICK = ["--eye.steps", 60, "--eye.decoders", 1, "--eye.copies", 8, "--eye.least-side", 96, "--eye.test-turns", 1]
CLASSES = {"classes": [{"name": "Field", "color": [0, 200, 0]}, {"name": "Roof", "color": [200, 0, 0]}]}
REAL = Path(__file__).parents[2] / "shared" / "data" / "brighton_beach"


def photo(seed: int, size=(96, 64)) -> np.ndarray:
    """A red roof somewhere on a green field."""
    random = np.random.default_rng(seed)
    image = np.tile(np.array([60, 140, 50]), (size[1], size[0], 1)) + random.integers(-20, 20, (size[1], size[0], 1))
    top, left = random.integers(4, size[1] - 36), random.integers(4, size[0] - 44)
    image[top : top + 32, left : left + 40] = [170, 60, 50]
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def scene(tmp_path) -> Path:
    """Four photos without poses, two of them labelled."""
    folder = tmp_path / "scene"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for seed in range(4):
        image = photo(seed)
        Image.fromarray(image).save(folder / "images" / f"IMG_{seed}.png")
        labels = (image[..., 0] > 120).astype(np.uint8)
        labels[:, :10] = 255
        if seed < 2:
            Image.fromarray(labels).save(folder / "labels" / f"IMG_{seed}.png")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def segment(ns, scene, out, *flags, **options) -> str:
    return ns("nerfseg", "segment", scene, "--output-dir", out, *QUICK, *flags, **options)


@pytest.fixture
def segment_here(capsys):
    """As `segment`, in this process and with fewer steps; returns what was printed."""
    from nerfseg_ns.eye.config import EyeConfig

    quick = EyeConfig(steps=15, decoders=1, copies=4, least_side=96, test_turns=1, trial_pixels=1000)

    def run(scene: Path, out: Path, seed: int = 0) -> str:
        run_segment(scene, SegmentConfig(out, eye=quick, seed=seed))
        return " ".join(capsys.readouterr().out.split())

    return run


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_every_photo_gets_its_maps(ns, scene, tmp_path):
    out = tmp_path / "out"
    told = segment(ns, scene, out)
    assert "2 labelled photos, 2 classes" in told and "4 photos mapped" in told
    assert "The eye gets" in told and "% of labels right" in told  # what the eye is worth
    for seed in range(4):
        image, labels = photo(seed), read(out / "labels" / f"IMG_{seed}.png")
        assert labels.shape == image.shape[:2] and labels.dtype == np.uint8
        assert (labels == (image[..., 0] > 120)).mean() > 0.9
        assert read(out / "confidence" / f"IMG_{seed}.png").shape == image.shape[:2]
        assert read(out / "overlay" / f"IMG_{seed}.jpg").shape == image.shape
    drawn, kept = read(scene / "labels" / "IMG_0.png"), read(out / "labels" / "IMG_0.png")
    assert (kept == drawn)[drawn != 255].all() and (read(out / "confidence" / "IMG_0.png")[drawn != 255] == 255).all()
    assert json.loads((out / "classes.json").read_text())["classes"] == CLASSES["classes"]


def test_it_goes_on_where_it_was_and_begins_anew_with_other_labels(segment_here, scene, tmp_path):
    out = tmp_path / "out"
    segment_here(scene, out)
    before = {path: path.read_bytes() for path in out.glob("labels/*")}
    (out / "labels" / "IMG_2.png").unlink()
    told = segment_here(scene, out)
    assert "1 photos mapped" in told and "3 were there already" in told
    assert {path: path.read_bytes() for path in out.glob("labels/*")} == before
    labels = read(scene / "labels" / "IMG_1.png").copy()
    labels[:, :40] = 255
    Image.fromarray(labels).save(scene / "labels" / "IMG_1.png")
    assert "4 photos mapped" in segment_here(scene, out)


def test_photos_may_lie_in_the_scenes_folder_grey_and_of_several_sizes(segment_here, scene, tmp_path):
    for path in (scene / "images").iterdir():
        shutil.move(path, scene / path.name)
    (scene / "images").rmdir()
    Image.fromarray(photo(7, (150, 90))).convert("L").save(scene / "IMG_grey.png")
    segment_here(scene, tmp_path / "out")
    assert read(tmp_path / "out" / "labels" / "IMG_grey.png").shape == (90, 150)
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 5


def test_what_is_not_its_own_is_never_written_over(ns, scene, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    told = segment(ns, scene, tmp_path / "other", fails=True)
    assert "holds something else" in told and "Nothing in it was touched" in told
    (tmp_path / "file").write_text("mine")
    assert "is a file" in segment(ns, scene, tmp_path / "file", fails=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_corrected_maps_are_never_made_anew(segment_here, scene, tmp_path):
    """What a user changed in a map stays, whether labels or options change; the folder may not be the scene's."""
    out = tmp_path / "out"
    segment_here(scene, out)
    path = out / "labels" / "IMG_2.png"
    corrected = np.where(np.arange(96) < 20, 1, read(path)).astype(np.uint8)
    Image.fromarray(corrected).save(path)
    with pytest.raises(UserError, match=r"not as it was written.*IMG_2\.png|IMG_2\.png.*not as it was written") as told:
        segment_here(scene, out, seed=5)
    assert "Nothing was touched" in str(told.value)
    assert (read(path) == corrected).all() and len(list(out.glob("labels/*"))) == 4
    assert "0 photos mapped" in segment_here(scene, out)  # with the same labels and options there is nothing to do
    path.unlink()
    assert "4 photos mapped" in segment_here(scene, out, seed=5)
    shutil.copytree(scene / "images", out / "images")
    with pytest.raises(UserError, match="is the scene itself"):
        segment_here(out, out)
    assert len(list(out.glob("labels/*"))) == 4


def test_two_photos_of_one_name_have_maps_of_their_own(segment_here, scene, tmp_path):
    Image.fromarray(photo(3)).save(scene / "images" / "IMG_3.jpg")
    segment_here(scene, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "labels").iterdir())
    assert names == ["IMG_0.png", "IMG_1.png", "IMG_2.png", "IMG_3_jpg.png", "IMG_3_png.png"]
    Image.fromarray(photo(0)).save(scene / "images" / "IMG_0.jpg")
    with pytest.raises(UserError, match="2 photos are named IMG_0"):
        find_pictures(scene, "labels")


def test_labels_of_photos_that_the_scene_holds_out_are_not_learnt_from(scene):
    """As in training: `test_filenames` hold out, `label_path` names a label file."""
    shutil.move(scene / "labels" / "IMG_0.png", scene / "drawn.png")
    frames = [{"file_path": f"images/IMG_{number}.png"} for number in range(4)]
    frames[0]["label_path"] = "drawn.png"
    transforms = scene / "transforms.json"
    transforms.write_text(json.dumps({"frames": frames, "test_filenames": ["images/IMG_1.png"]}))
    pictures, _ = find_pictures(scene, "labels")
    assert [picture.name for picture in pictures if picture.label is not None] == ["IMG_0"] and len(pictures) == 4
    transforms.write_text("[")
    with pytest.raises(UserError, match="Cannot read .*transforms.json"):
        find_pictures(scene, "labels")


def test_a_picture_beside_a_town_is_not_taken_for_its_photos(small_town, tmp_path):
    town = tmp_path / "town"
    shutil.copytree(small_town, town)
    Image.fromarray(photo(0)).save(town / "contact-sheet.png")
    Image.fromarray(photo(0)).save(town / "picture.png")
    assert len(find_pictures(town, "labels")[0]) == len(find_pictures(small_town, "labels")[0])


def test_photos_that_cannot_be_mapped_are_told(scene, monkeypatch):
    deep = scene / "images" / "IMG_9.png"
    Image.fromarray(np.full((64, 96), 40_000, dtype=np.uint16)).save(deep)
    with pytest.raises(UserError, match="IMG_9.png has more than 8 bits"):
        find_pictures(scene, "labels")
    deep.unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="too large for a photo"):
        find_pictures(scene, "labels")


def test_what_the_eye_is_worth_is_told():
    assert "little" in what_skill_means(0.5, True) and "little" not in what_skill_means(0.9, True)
    assert "could not be measured" in what_skill_means(1.0, False)


def test_classes_of_a_built_in_palette(scene):
    (scene / "classes.json").unlink()
    with pytest.raises(UserError, match="choose one with --palette"):
        find_pictures(scene, "labels")
    assert len(find_pictures(scene, "labels", palette="google-earth")[1]) == 5


def test_what_is_missing_is_told(ns, scene, tmp_path):
    shutil.rmtree(scene / "labels")
    told = segment(ns, scene, tmp_path / "out", fails=True)
    assert "No photo is labelled" in told and not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="There is no folder"):
        SegmentConfig().check(tmp_path / "nowhere")
    with pytest.raises(UserError, match="No scene is named"):
        SegmentConfig().check(None)
    broken = scene / "images" / "IMG_3.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(UserError, match="Cannot read the photo .*IMG_3.png"):
        find_pictures(scene, "labels")


def test_a_town_is_a_scene_too(small_town):
    pictures, table = find_pictures(small_town, "labels")
    labelled = [picture for picture in pictures if picture.label is not None]
    assert len(labelled) == 4 and len(pictures) >= 16 + 3 + 4 and len(table) > 3
    assert all(picture.path.parts[-3] == "train" for picture in labelled)  # those held out are not learnt from


def test_with_a_run(ns, fast_run, small_town, tmp_path):
    """What a run says of its photos; its eye is off here, as in all runs that tests share."""
    out = tmp_path / "out"
    ns("nerfseg", "segment", "--output-dir", out, "--load-config", fast_run)
    names = sorted(path.stem for path in (out / "labels").iterdir())
    assert len(names) >= 16 and (out / "segment.json").is_file()
    assert all(read(out / "labels" / f"{name}.png").shape == (48, 48) for name in names)
    told = ns("nerfseg", "segment", tmp_path, "--output-dir", tmp_path / "other", "--load-config", fast_run, fails=True)
    assert "is of a run on" in told


@pytest.mark.parametrize("sees", [True, False])
def test_photos_without_a_pose(sees, make_trainer, step_trainer, tmp_path, capsys):
    """The run's eye maps them, if it has one; else it is said that they get no map."""
    scene = write_photos(tmp_path / "scene")
    save_image(scene / "images" / "lost.png", noise(99))

    def change(config):
        if sees:
            config.pipeline.model.eye = FieldEyeConfig(
                backbone=DEFAULT_BACKBONE, decoders=1, steps=5, trial_pixels=100, copies=2, least_side=64, photos=0
            )
            config.pipeline.model.eye.least_skill = config.pipeline.model.eye.full_skill = 0.0

    trainer = make_trainer(scene, 1, 3, dataparser=LabelledPhotosDataParserConfig(), change=change)
    step_trainer(trainer, range(4))
    trainer.save_checkpoint(3)
    trainer.config.save_config()
    config = SegmentConfig(tmp_path / "maps", load_config=trainer.base_dir / "config.yml")
    assert run_segment(None, config) == tmp_path / "maps"
    names = {path.stem for path in (tmp_path / "maps" / "labels").iterdir()}
    placed = {path.stem for path in (scene / "images").iterdir()} - {"lost"}
    assert names == placed | ({"lost"} if sees else set())
    told = " ".join(capsys.readouterr().out.split())
    assert "1 photos of" in told and ("the run's eye alone maps them" if sees else "they get no maps") in told
    if sees:
        seen = trainer.pipeline.model.eye.probabilities(torch.from_numpy(noise(99)).float() / 255)
        assert (read(tmp_path / "maps" / "labels" / "lost.png") == seen.argmax(-1).numpy()).mean() > 0.99


@pytest.mark.skipif(not REAL.is_dir(), reason="the scene brighton_beach is not beside the repository")
def test_two_labelled_photos_of_a_real_flight(ns, tmp_path):
    """Against hand-drawn polygons of three other photos, with a third of the default effort."""
    from nerfseg_ns.labels.classes import ClassTable
    from nerfseg_ns.labels.json_labels import labels_in_json

    scene, truths = tmp_path / "scene", Path(__file__).parent / "real_labels" / "brighton_beach"
    (scene / "images").mkdir(parents=True)
    shutil.copytree(REAL / "labels", scene / "labels")
    shutil.copy(REAL / "classes.json", scene)
    for name in [path.stem for path in [*truths.glob("*.json"), *(REAL / "labels").glob("*.png")]]:
        shutil.copy(REAL / "images" / f"{name}.jpg", scene / "images")
    ns(
        "nerfseg",
        "segment",
        scene,
        "--output-dir",
        tmp_path / "out",
        "--eye.steps",
        200,
        "--eye.decoders",
        1,
        "--eye.copies",
        12,
    )
    table, right, total = ClassTable.load(scene / "classes.json"), 0, 0
    for path in truths.glob("*.json"):
        ((_, label),) = labels_in_json(path)
        truth, found = label.read(table), read(tmp_path / "out" / "labels" / f"{path.stem}.png")
        right += (found == truth)[truth != 255].sum()
        total += (truth != 255).sum()
    assert total > 300_000 and right / total > 0.93
