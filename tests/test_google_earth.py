"""Scenes of Google Earth Studio: frames and poses as they are found, georeference, splits, and what may be wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, noise, save_image
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

from nerfseg_ns.dataparsers.google_earth import GoogleEarthDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.earth_studio import EARTH_RADIUS, Track, write_track
from nerfseg_ns.geo.georeference import FILE_NAME, Georeference
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.town.cameras import look_at
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town

PLACE = LocalFrame(-33.86, 151.21, 40.0, EARTH_RADIUS)
TOWN = TownConfig(
    seed=5,
    image_size=24,
    train_views=5,
    validation_views=2,
    test_views=3,
    labelled_views=2,
    supersampling=1,
    layout="earth-studio",
    latitude=64.15,
    longitude=-21.94,
    altitude=12.0,
)


def orbit(count: int) -> Track:
    """Cameras around the origin, 500 to 700 m away, that look at it; the field of view shrinks from 60 degrees."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    eyes = np.column_stack([400 * np.cos(angles), 400 * np.sin(angles), np.linspace(300, 574, count)])
    poses = np.array([look_at(eye, np.zeros(3), np.array([0.0, 0.0, 1.0])) for eye in eyes])
    return Track("flight", (WIDTH, HEIGHT), PLACE, poses, 60.0 - np.arange(count), np.zeros((1, 3)))


def write_scene(folder: Path, count: int = 10, labelled: tuple[int, ...] = (2, 7), start: int = 0) -> Path:
    """A scene of noise; the label files are of indices."""
    folder.mkdir(exist_ok=True)
    (folder / "flight.json").write_text(json.dumps(write_track(orbit(count))))
    for index in range(count):
        save_image(folder / "footage" / f"flight_{index + start:03d}.jpeg", noise(index))
    for index in labelled:
        save_image(folder / "labels" / f"flight_{index + start:03d}.png", label_array(index))
    TABLE.save(folder / "classes.json")
    return folder


def parse(folder: Path, split: str = "train", **options) -> DataparserOutputs:
    return GoogleEarthDataParserConfig(data=folder, **options).setup().get_dataparser_outputs(split)


def names(outputs: DataparserOutputs) -> list[int]:
    return [int(path.stem[-3:]) for path in outputs.image_filenames]


def test_poses_are_those_of_the_track_in_the_unit_sphere(tmp_path: Path):
    track, outputs = orbit(10), parse(write_scene(tmp_path), eval_mode="all")
    farthest = np.sqrt(400**2 + 574**2)
    assert outputs.dataparser_scale == pytest.approx(1 / 1.1 / farthest)
    found = outputs.cameras.camera_to_worlds.double().numpy()
    np.testing.assert_allclose(found[:, :, 3], track.poses[:, :3, 3] / (1.1 * farthest), atol=1e-6)
    np.testing.assert_allclose(found[:, :, :3], track.poses[:, :3, :3] * [1, -1, -1], atol=1e-6)
    assert np.linalg.norm(found[:, :, 3], axis=1).max() == pytest.approx(1 / 1.1)
    assert (found[:, 2, 1] > 0).all()  # up in the image is up in the world
    np.testing.assert_allclose(
        found[:, :, 2] * np.linalg.norm(found[:, :, 3], axis=1)[:, None], found[:, :, 3], atol=1e-6
    )


def test_intrinsics_change_from_frame_to_frame(tmp_path: Path):
    cameras = parse(write_scene(tmp_path), eval_mode="all").cameras
    expected = HEIGHT / 2 / np.tan(np.radians(60.0 - np.arange(10)) / 2)
    for focal in (cameras.fx, cameras.fy):
        np.testing.assert_allclose(focal[:, 0].numpy(), expected, rtol=1e-6)
    assert (cameras.cx[3].item(), cameras.cy[3].item()) == (WIDTH / 2, HEIGHT / 2)
    assert (cameras.width[3].item(), cameras.height[3].item()) == (WIDTH, HEIGHT)


def test_frames_may_be_resized(tmp_path: Path):
    scene = write_scene(tmp_path, labelled=())
    for path in (scene / "footage").iterdir():
        save_image(path, np.zeros((HEIGHT * 2, WIDTH * 2, 3), np.uint8))
    save_image(scene / "labels" / "flight_004.png", label_array(0, size=(WIDTH * 2, HEIGHT * 2)))
    cameras = parse(scene, eval_mode="all").cameras
    np.testing.assert_allclose(cameras.fx[0].item(), 2 * HEIGHT / 2 / np.tan(np.radians(30)), rtol=1e-6)
    assert (cameras.width[0].item(), cameras.cx[0].item(), cameras.cy[0].item()) == (2 * WIDTH, WIDTH, HEIGHT)
    for path in (scene / "footage").iterdir():
        save_image(path, np.zeros((HEIGHT * 2, WIDTH, 3), np.uint8))
    with pytest.raises(UserError, match="aspect ratio differs"):
        parse(scene)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_is_georeferenced(tmp_path: Path, split):
    outputs = parse(write_scene(tmp_path), split)
    reference = outputs.metadata["georeference"]
    np.testing.assert_allclose(reference.to_geodetic(np.zeros(3)), [-33.86, 151.21, 40.0], atol=1e-6)
    content = json.loads((tmp_path / "flight.json").read_text())
    for index, camera in zip(names(outputs), outputs.cameras.camera_to_worlds.numpy(), strict=True):
        place = content["cameraFrames"][index]["coordinate"]
        found = reference.to_geodetic(camera[:, 3])
        np.testing.assert_allclose(found[:2], [place["latitude"], place["longitude"]], atol=1e-8)
        assert found[2] == pytest.approx(place["altitude"], abs=1e-3)


@pytest.mark.parametrize(("folder", "start"), [("footage", 1), ("images", 0), (".", 0)])
def test_where_frames_lie_and_how_they_are_numbered(tmp_path: Path, folder, start):
    scene = write_scene(tmp_path, start=start)
    if folder != "footage":
        (scene / folder).mkdir(exist_ok=True)
        for path in list((scene / "footage").iterdir()):
            shutil.move(path, scene / folder)
    outputs = parse(scene, eval_mode="all")
    assert names(outputs) == list(range(start, start + 10))
    assert outputs.metadata["semantics"].labelled == (2, 7)
    np.testing.assert_array_equal(outputs.metadata["semantics"].read(7, HEIGHT, WIDTH)[..., 0], label_array(7))


def test_numbers_count_not_their_digits(tmp_path: Path):
    scene = write_scene(tmp_path, count=11, labelled=())
    for path in list((scene / "footage").iterdir()):
        path.rename(path.with_name(f"a_{int(path.stem[-3:])}.jpeg"))
    save_image(scene / "labels" / "a_10.png", label_array(0))
    outputs = parse(scene, eval_mode="all")
    assert [path.stem for path in outputs.image_filenames] == [f"a_{index}" for index in range(11)]


def test_the_tracking_file_is_told_from_other_files(tmp_path: Path):
    scene = write_scene(tmp_path)
    (scene / "notes.json").write_text("{}")
    assert len(parse(scene, eval_mode="all").image_filenames) == 10
    shutil.copy(scene / "flight.json", scene / "again.json")
    with pytest.raises(UserError, match="found again.json, flight.json"):
        parse(scene)
    assert len(parse(scene / "again.json", eval_mode="all").image_filenames) == 10
    (scene / "again.json").unlink(), (scene / "flight.json").unlink(), (scene / "notes.json").unlink()
    with pytest.raises(UserError, match="there is none among classes.json, footage, labels"):
        parse(scene)


def test_listed_frames_are_held_out_labelled_or_not(tmp_path: Path):
    scene = write_scene(tmp_path)
    (scene / "test.txt").write_text("# for mIoU\nflight_007.jpeg\n\nflight_004\n")
    train, test = parse(scene), parse(scene, "test")
    assert (names(train), names(test)) == ([0, 1, 2, 3, 5, 6, 8, 9], [4, 7])
    assert names(parse(scene, "val")) == [4, 7]
    assert (train.metadata["semantics"].labelled, test.metadata["semantics"].labelled) == ((2,), (1,))
    for text, message in (
        ("flight_2.jpeg\n", "test.txt: There is no photo flight_2.jpeg"),
        ("flight_002\nflight_007\n", "All labelled frames are listed in .*test.txt"),
        ("# none\n", "names no frame"),
        ("".join(f"flight_{i:03d}\n" for i in range(10)), "All photos are in the list"),
    ):
        (scene / "test.txt").write_text(text)
        with pytest.raises(UserError, match=message):
            parse(scene)


def _one_place(scene: Path) -> None:
    track = orbit(10)
    still = replace(track, poses=np.tile(track.poses[:1], (10, 1, 1)))
    (scene / "flight.json").write_text(json.dumps(write_track(still)))


def _cut_off(scene: Path) -> None:
    text = (scene / "flight.json").read_text()
    (scene / "flight.json").write_text(text[: len(text) // 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: (s / "footage/flight_009.jpeg").unlink(), r"9 frames \(flight_000.jpeg .*10 cameraFrames"),
        (lambda s: (s / "footage/flight_003.jpeg").unlink(), r"9 frames .*10 cameraFrames\. Missing: number 3\."),
        (
            lambda s: (s / "footage/flight_003.jpeg").rename(s / "footage/flight_010.jpeg"),
            "not numbered one after the other from 0 or 1. Missing: number 3",
        ),
        (lambda s: shutil.copy(s / "footage/flight_003.jpeg", s / "footage/flight_03.jpeg"), "several .* number 3"),
        (lambda s: save_image(s / "footage/other_000.png", noise(0)), "10 named flight_..., 1 named other_"),
        (lambda s: save_image(s / "images/flight_000.png", noise(0)), "10 in .*footage and 1 in .*images"),
        (lambda s: shutil.rmtree(s / "footage"), r"There are no frames in .*NAME_0000.jpeg"),
        (
            lambda s: save_image(s / "footage/flight_003.jpeg", np.zeros((9, 9, 3), np.uint8)),
            "flight_003.*9 x 9 pixels",
        ),
        (lambda s: (s / "footage/flight_003.jpeg").write_bytes(b"no image"), "Cannot read the photo .*flight_003"),
        (lambda s: shutil.rmtree(s / "labels"), r"No frame is labelled.*labels.*flight_000"),
        (lambda s: save_image(s / "labels/flight_077.png", label_array(0)), "flight_077.png belongs to no photo"),
        (_one_place, "All cameras of .*flight.json are in the same place"),
        (_cut_off, "Cannot read .*flight.json"),
    ],
)
def test_what_is_wrong_with_a_scene_is_said(tmp_path: Path, change, message):
    change(write_scene(tmp_path))
    with pytest.raises(UserError, match=message):
        parse(tmp_path)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path):
    scene = write_scene(tmp_path)
    _cut_off(scene)
    shutil.rmtree(scene / "labels")
    (scene / "footage/flight_003.jpeg").unlink()
    with pytest.raises(UserError) as raised:
        parse(scene)
    assert len(raised.value.problems) == 2  # the track and the frames; labels are sought by the frames' names


# The palette


def test_the_five_classes_are_known_by_all_their_colors(tmp_path: Path):
    """Labels in the paper's five colors, R and B swapped as in its files: fewer of them may as well be Carla's."""
    scene = write_scene(tmp_path, labelled=())
    (scene / "classes.json").unlink()
    colors = np.array([(70, 70, 70), (35, 142, 107), (128, 64, 128), (160, 190, 110), (142, 0, 0)], np.uint8)
    save_image(scene / "labels" / "flight_004.png", colors[label_array(0, classes=5)])
    labels = parse(scene).metadata["semantics"]
    assert labels.classes == ["Building", "Grass", "Ground", "Tree", "Car"]
    (position,) = labels.labelled
    np.testing.assert_array_equal(labels.read(position, HEIGHT, WIDTH)[..., 0], label_array(0, classes=5))
    save_image(scene / "labels" / "flight_004.png", colors[label_array(0, classes=4)])
    assert len(parse(scene).metadata["semantics"].classes) == 20
    assert len(parse(scene, palette="google-earth").metadata["semantics"].classes) == 5


# The town as Earth Studio would export it


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(TOWN, tmp_path_factory.mktemp("town") / "scene")


def _true_pose(town: Path, stem: str) -> np.ndarray:
    (path,) = town.glob(f"truth/*/pose/{stem}.txt")
    return np.array([float(number) for number in path.read_text().split()]).reshape(4, 4)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_towns_poses_are_those_it_was_rendered_with(town: Path, split):
    outputs = parse(town, split)
    reference = outputs.metadata["georeference"]
    for path, camera in zip(outputs.image_filenames, outputs.cameras.camera_to_worlds.double().numpy(), strict=True):
        truth = _true_pose(town, path.stem)
        assert np.linalg.norm(reference.to_local(camera[:, 3]) - truth[:3, 3]) < 1e-4  # metres
        turned = (camera[:, :3] * [1, -1, -1]).T @ truth[:3, :3]
        assert np.degrees(np.linalg.norm(turned - np.eye(3)) / np.sqrt(2)) < 1e-4
    np.testing.assert_allclose(reference.to_geodetic(np.zeros(3)), [64.15, -21.94, 12.0], atol=1e-6)


def test_the_towns_files_and_splits(town: Path):
    files = {str(path.relative_to(town)) for path in town.rglob("*") if path.is_file()}
    stems = [f"town-5_{index:03d}" for index in range(10)]
    labelled = ["town-5_001", "town-5_003", *stems[5:]]
    assert {f"footage/{stem}.jpeg" for stem in stems} | {f"labels/{stem}.png" for stem in labelled} <= files
    assert {"town-5.json", "classes.json", "town.json", "test.txt", "truth/test/depth/town-5_009.npy"} <= files
    train, test = parse(town), parse(town, "test")
    assert (names(train), names(test)) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    assert train.metadata["semantics"].labelled == (1, 3)
    assert test.metadata["semantics"].labelled == (0, 1, 2, 3, 4)


def test_the_same_town_is_rendered_in_both_layouts(town: Path, tmp_path: Path):
    """Depths in metres and labels are the ones of the Carla-MVS layout, whose record does not know of places."""
    other = make_town(replace(TOWN, layout="carla-mvs"), tmp_path / "carla")
    assert "latitude" not in json.loads((other / "town.json").read_text())["config"]
    for index in range(3):
        depth = np.load(town / f"truth/test/depth/town-5_{7 + index:03d}.npy")
        np.testing.assert_allclose(depth, np.load(other / f"truth/test/depth/{index:04d}.npy") * 170.0, rtol=1e-6)
        label = (town / f"labels/town-5_{7 + index:03d}.png").read_bytes()
        assert label == (other / f"test/label/{index:04d}.png").read_bytes()


def test_no_town_at_the_pole(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be at latitude 90"):
        make_town(replace(TOWN, latitude=90.0), tmp_path / "town")


def test_a_run_keeps_the_georeference(town: Path, make_trainer):
    trainer = make_trainer(town, 1, 1, dataparser=GoogleEarthDataParserConfig())
    kept = Georeference.load(trainer.base_dir / FILE_NAME)
    track_point = kept.to_geodetic(np.zeros(3))
    np.testing.assert_allclose(track_point, [TOWN.latitude, TOWN.longitude, TOWN.altitude], atol=1e-6)
    cameras = trainer.pipeline.datamanager.train_dataset.cameras
    truth = np.loadtxt(sorted((town / "truth" / "train" / "pose").iterdir())[0]).reshape(4, 4)
    np.testing.assert_allclose(kept.to_local(cameras.camera_to_worlds[0, :, 3].numpy()), truth[:3, 3], atol=1e-4)
    scale = trainer.pipeline.datamanager.train_dataparser_outputs.dataparser_scale
    assert kept.metres_per_unit == pytest.approx(1 / scale)


def test_a_track_point_far_from_the_flight(tmp_path: Path):
    write_scene(tmp_path)
    far = replace(orbit(10), track_points=np.array([[2e5, 0.0, 0.0]]))
    (tmp_path / "flight.json").write_text(json.dumps(write_track(far)))
    with pytest.raises(UserError, match="m from the track point, but within .* the scene would be a speck"):
        parse(tmp_path)
