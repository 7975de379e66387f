"""`nerfseg photos` on rendered photos of the town, whose true poses are known, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.photo_files import save_photo
from helpers.scenes import TABLE, noise
from PIL import Image, ImageFilter

from nerfseg_ns import cli
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.photos.config import PhotosConfig
from nerfseg_ns.photos.make import make_scene
from nerfseg_ns.town.cameras import intrinsics, plan_cameras
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.layout import build_town
from nerfseg_ns.town.render import Renderer

pytestmark = pytest.mark.slow

needs_pycolmap = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed: pip install 'nerfseg[sfm]'"
)
SIZE, VIEWS = 320, 12
TOWN = LocalFrame(-33.86, 151.21, 40.0)
"""Where the town lies: south and east."""
LOST, TURNED, TIFF, STRANGER = 3, 7, 5, "stranger.jpg"
"""Views with a GPS position 200 m off, stored lying on its side, and stored as a TIFF; a photo of something else."""
FOCAL_35MM = 30
"""In the EXIF, so that COLMAP starts at 30 / 35 of the image: 274 px; the true focal length is 277 px."""


@dataclass
class Made:
    """What the command made of the town's photos, and the truth."""

    folder: Path
    printed: str
    poses: np.ndarray
    """[views, 4, 4], camera-to-world in metres, OpenCV axes."""
    camera: np.ndarray
    pixel: float
    """Metres on the ground."""

    def json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())


def call(*arguments) -> None:
    """Runs the command within this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nerfseg", *map(str, arguments)])
        cli.main()


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    """The town from above in photos with a few traps, made into a scene by the command."""
    import contextlib
    import io

    root = tmp_path_factory.mktemp("photos")
    config = TownConfig(image_size=SIZE, train_views=VIEWS, views="nadir")
    renderer, camera, poses = Renderer(build_town(0), 0), intrinsics(config), plan_cameras(config)["train"]
    pixels = []
    for index, pose in enumerate(poses):
        view = renderer.view(pose, camera, SIZE, supersampling=2)
        place = pose[:3, 3] + (200.0 if index == LOST else 0.0, 0.0, 0.0)
        turned = index == TURNED
        save_photo(
            root / "my photos" / f"view {index:02d}.{'tif' if index == TIFF else 'jpg'}",
            np.rot90(view.rgb) if turned else view.rgb,  # a quarter turn to the left, to be turned right to see it
            place=tuple(TOWN.to_geodetic(place)),
            orientation=6 if turned else 1,
            focal_35mm=FOCAL_35MM,
        )
        rows, columns = (np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2) / camera[0, 0]
        pixels.append(np.median(view.depth / np.sqrt(1 + rows**2 + columns**2)) / camera[0, 0])
    stranger = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    save_photo(
        root / "my photos" / STRANGER, np.array(stranger.filter(ImageFilter.GaussianBlur(2))), focal_35mm=FOCAL_35MM
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        call("photos", root / "my photos", root / "scene", "--threads", 1)
    return Made(root / "scene", printed.getvalue(), poses, camera, float(np.median(pixels)))


@needs_pycolmap
def test_poses_are_the_true_ones_in_metres_east_north_up(made):
    """One GPS position is 200 m off: neither it nor its own photo may suffer from that."""
    scene = made.json("transforms.json")
    origin = scene["georeference"]["origin"]
    frame = LocalFrame(origin["latitude"], origin["longitude"], origin["altitude"])
    assert scene["georeference"]["axes"].startswith("x east, y north, z up, metres")
    others = np.delete(made.poses[:, :3, 3], LOST, axis=0)
    np.testing.assert_allclose(TOWN.from_geodetic(frame.to_geodetic(np.zeros(3))), others.mean(axis=0), atol=0.01)
    assert len(scene["frames"]) == VIEWS
    for index, entry in enumerate(scene["frames"]):
        found = np.array(entry["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
        centre = TOWN.from_geodetic(frame.to_geodetic(found[:3, 3]))
        assert np.linalg.norm(centre - made.poses[index, :3, 3]) < 0.6, index
        turn = found[:3, :3].T @ made.poses[index, :3, :3]
        assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 0.5, index


@needs_pycolmap
def test_figures_are_true(made):
    figures = made.json("summary.json")
    assert (figures["photos"], figures["registered"], figures["unregistered"]) == (VIEWS + 1, VIEWS, [STRANGER])
    assert list(figures["gps"]["left_out"]) == [f"view {LOST:02d}.jpg"]
    assert figures["gps"]["left_out"][f"view {LOST:02d}.jpg"] == pytest.approx(200, abs=1)
    assert (figures["gps"]["positions"], figures["gps"]["used"]) == (VIEWS, VIEWS - 1)
    assert 0 < figures["gps"]["median_residual_m"] < 0.5
    assert 0 < figures["mean_reprojection_error_px"] < 0.5
    assert figures["ground_sample_distance_cm"] == pytest.approx(100 * made.pixel, rel=0.06)
    (camera,) = figures["cameras"]
    assert camera["photos"] == VIEWS and camera["focal_px"] == pytest.approx(made.camera[0, 0], rel=0.06)
    for word in (f"{VIEWS} of {VIEWS + 1}", STRANGER, f"view {LOST:02d}.jpg (200 m off)", "nerfseg check", "labels"):
        assert word in made.printed


@needs_pycolmap
def test_files_of_the_scene(made):
    names = [f"view {index:02d}.{'png' if index == TIFF else 'jpg'}" for index in range(VIEWS)]
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "colmap",
        "images",
        "labels",
        "sparse_pc.ply",
        "summary.json",
        "transforms.json",
    ]
    assert [path.name for path in made.folder.parent.iterdir() if path.name not in ("scene", "my photos")] == []
    assert sorted(path.name for path in (made.folder / "images").iterdir()) == names
    scene = made.json("transforms.json")
    assert [frame["file_path"] for frame in scene["frames"]] == [f"images/{name}" for name in names]
    assert (scene["camera_model"], scene["w"], scene["h"]) == ("OPENCV", SIZE, SIZE)
    import pycolmap

    model = pycolmap.Reconstruction(made.folder / "colmap")
    assert {image.name for image in model.images.values() if image.has_pose} == set(names)
    first = next(image for image in model.images.values() if image.name == names[0])
    np.testing.assert_allclose(first.projection_center(), np.array(scene["frames"][0]["transform_matrix"])[:3, 3])


@needs_pycolmap
def test_sparse_points_lie_on_the_ground_and_have_its_colors(made):
    import trimesh

    cloud = trimesh.load(made.folder / "sparse_pc.ply")
    origin = made.json("transforms.json")["georeference"]["origin"]["altitude"]
    heights = np.array(cloud.vertices)[:, 2] + origin - TOWN.altitude
    assert len(heights) == made.json("summary.json")["sparse_points"] > 300
    assert abs(np.median(heights)) < 3 and np.percentile(heights, 95) < 20  # the town's ground and houses
    colors = np.array(cloud.colors)[:, :3]
    assert colors.std(axis=0).min() > 10


@needs_pycolmap
def test_scene_loads_once_a_photo_is_labelled(made, tmp_path):
    import shutil

    from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotosDataParserConfig

    scene = tmp_path / "scene"
    shutil.copytree(made.folder, scene)
    label = np.random.default_rng(0).integers(0, len(TABLE.names), (SIZE, SIZE), dtype=np.uint8)
    Image.fromarray(label).save(scene / "labels" / "view 04.png")
    TABLE.save(scene / "classes.json")
    outputs = LabelledPhotosDataParserConfig(data=scene).setup().get_dataparser_outputs("train")
    assert "view 04.jpg" in [path.name for path in outputs.image_filenames]
    assert sum(path is not None for path in outputs.metadata["semantics"].filenames) == 1
    assert len(outputs.metadata["points3D_xyz"]) > 300
    assert outputs.cameras.camera_to_worlds[:, 2, 3].min() > outputs.metadata["points3D_xyz"][:, 2].median()


def photos_of(folder: Path, *names: str) -> Path:
    """A folder with a photo of noise under each name."""
    for seed, name in enumerate(names):
        save_photo(folder / name, noise(seed))
    return folder


def three_photos(root: Path) -> Path:
    return photos_of(root / "in", "a.jpg", "b.jpg", "c.png")


def broken(root: Path) -> Path:
    photos_of(root / "in", "a.jpg", "b.jpg", "c.jpg")
    for name in ("d.jpg", "e.png"):
        (root / "in" / name).write_bytes(b"no photo")
    return root / "in"


def deep(root: Path) -> Path:
    three_photos(root)
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(root / "in" / "d.png")
    return root / "in"


REFUSED = {
    "no folder": (lambda root: root / "in", {}, ["in is not a folder"]),
    "no photos": (lambda root: photos_of(root / "in" / "deeper", "a.jpg").parent, {}, ["no photos", "not searched"]),
    "one photo": (lambda root: photos_of(root / "in", "a.jpg"), {}, ["one photo only", "at least 3"]),
    "two of a name": (
        lambda root: photos_of(root / "in", "a.jpg", "A.png", "b.jpg", "c.jpg"),
        {},
        ["a.jpg", "A.png", "suffix only"],
    ),
    "unreadable": (broken, {}, ["2 things", "d.jpg", "e.png"]),
    "16 bits": (deep, {}, ["d.png", "8-bit"]),
    "an option": (three_photos, {"min_registered": 1.5}, ["--min-registered", "1.5"]),
    "spatial without GPS": (three_photos, {"matching": "spatial"}, ["--matching spatial", "0 of 3"]),
    "one camera of two sizes": (
        lambda root: save_photo(three_photos(root) / "d.jpg", noise(9)[:4]).parent,
        {"single_camera": "always"},
        ["--single-camera", "12 x 8", "12 x 4"],
    ),
    "nothing in common": (three_photos, {}, ["0 of 3 photos", "overlap", "Nothing was written"]),
}


@needs_pycolmap
@pytest.mark.parametrize("photos, options, words", REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_matter_and_leave_nothing(tmp_path, photos, options, words):
    folder = photos(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError) as error:
        make_scene(folder, tmp_path / "out", PhotosConfig(threads=1, **options))
    for word in words:
        assert word in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


@needs_pycolmap
@pytest.mark.parametrize("kind", ["the photos' folder", "a file", "not empty", "below a file"])
def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("nerfseg_ns.photos.steps.SceneMaker.make", lambda self: pytest.fail("the work began"))
    images = three_photos(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    out = {"the photos' folder": images / ".." / "in", "a file": tmp_path / "file", "not empty": tmp_path / "full"}
    with pytest.raises(UserError, match="OUT|is a file|not empty|Cannot write"):
        make_scene(images, out.get(kind, tmp_path / "file" / "out"), PhotosConfig())
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "mine").read_text() == "mine"


@needs_pycolmap
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nerfseg_ns.photos.reconstruct.Reconstructor.match", interrupt)
    images = three_photos(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        make_scene(images, tmp_path / "out", PhotosConfig(threads=1))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_without_pycolmap_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(SystemExit, match=r"pip install 'nerfseg\[sfm\]'"):
        call("photos", three_photos(tmp_path), tmp_path / "out")
