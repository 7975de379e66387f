"""Ground control of `nerfseg photos`: the file, and a scene of the town's photos that is placed by it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pycolmap
import pyproj
import pytest
from helpers.photo_files import save_photo

from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.quality import ZERO_CONTROL
from nerfseg_ns.photos.config import PhotosConfig
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.find_photos import Photo
from nerfseg_ns.photos.ground_control import Target, read_targets, residual_table
from nerfseg_ns.photos.make import make_scene
from nerfseg_ns.photos.place_targets import align_targets
from nerfseg_ns.town.cameras import intrinsics, plan_cameras
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.layout import build_town
from nerfseg_ns.town.render import Renderer

SIZE, VIEWS, WRONG = 320, 12, "t3"
TOWN = LocalFrame(47.1, 8.4, 455.0)
SYSTEM = "EPSG:32632"
REAL = Path(__file__).parents[2] / "shared" / "data" / "copr"
needs_pycolmap = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed: pip install 'nerfseg[sfm]'"
)


def photos_of(*names: str, size=(400, 300)) -> list[Photo]:
    return [Photo(Path(name), size, exif=None) for name in names]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines))
    return path


MARKS = [f"{x} {y} 1 {column} 20 {photo} t{index}" for index, (x, y) in enumerate([(1, 2), (50, 3), (7, 90)])
         for column, photo in ((10, "a.jpg"), (200, "B.JPG"))]  # fmt: skip


@pytest.mark.parametrize("system", ["EPSG:32611", "WGS84 UTM 11N", "+proj=utm +zone=11 +datum=WGS84 +units=m +no_defs"])
def test_coordinate_systems_as_they_are_written(system, tmp_path):
    lines = [line.replace(line.split()[0], str(235_000 + int(line.split()[0])), 1) for line in MARKS]
    lines = [line.replace(" " + line.split()[1], " 3811198", 1) for line in lines]
    targets = read_targets(write(tmp_path / "gcp.txt", system, "# a remark", *lines, ""), photos_of("a.jpg", "b.jpg"))
    assert [target.name for target in targets] == ["t0", "t1", "t2"]
    expected = pyproj.Transformer.from_crs("EPSG:32611", "EPSG:4326").transform(235_001, 3_811_198)
    assert (targets[0].place.latitude, targets[0].place.longitude) == pytest.approx(expected)
    assert targets[0].pixels == {"a.jpg": (10 / 400, 20 / 300), "b.jpg": (200 / 400, 20 / 300)}


@pytest.mark.parametrize(
    "lines, message",
    [
        (["nowhere", *MARKS], "expected the coordinate system"),
        ([], "is empty"),
        (["EPSG:32611", *MARKS[:4]], "marks 2 targets in two or more"),
        (["EPSG:32611", *MARKS[::2]], "marks 0 targets"),
        (["EPSG:32611", "1 2 3 4", *MARKS], "Line 2 .* expected x y z column row photo"),
        (["EPSG:32611", "1 2 3 401 5 a.jpg t", *MARKS], r"pixel 401, 5 lies outside a.jpg \(400 x 300\)"),
        (["EPSG:32611", "1 2 x 4 5 a.jpg t", *MARKS], "Line 2"),
        (["EPSG:32611", *MARKS, "9 9 1 4 5 a.jpg t0"], "Line 8 .* t0 has another place here"),
    ],
)
def test_files_that_cannot_be_used(lines, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_targets(write(tmp_path / "gcp.txt", *lines), photos_of("a.jpg", "b.jpg"))
    with pytest.raises(UserError, match="Cannot read the ground control"):
        read_targets(tmp_path / "none.txt", photos_of("a.jpg"))


# Heights


CONTROL = ["235269.88 3811198.11 {z} 10 20 a.jpg t0", "235262.54 3811203.5 {z} 200 20 a.jpg t1",
           "235248.03 3811227.25 {z} 10 90 a.jpg t2"]  # fmt: skip


@pytest.mark.parametrize(
    "system, z, altitude, words",
    [
        ("EPSG:32611", 12.5, 12.5, "as the ground control counts them"),
        ("EPSG:32611+5773", 12.5, 12.5, "EGM96 height"),  # without its grid, PROJ leaves the height as it is
        ("EPSG:6340+6360", 100, 30.48006, "NAVD88 height (ftUS)"),  # the unit is turned into metres all the same
        ("+proj=utm +zone=11 +datum=WGS84 +units=us-ft +no_defs", 100, 30.48006, "as the ground control counts them"),
    ],
)
def test_what_heights_are_counted_from(system, z, altitude, words, tmp_path, capsys):
    rows = [line.format(z=z) for line in CONTROL]
    if "us-ft" in system:
        rows = [" ".join([*(f"{float(word) / 0.3048006096:.3f}" for word in row.split()[:2]), *row.split()[2:]])
                for row in rows]  # fmt: skip
    rows += [row.replace("a.jpg", "b.jpg") for row in rows]
    targets = read_targets(write(tmp_path / "gcp.txt", system, *rows), photos_of("a.jpg", "b.jpg"))
    assert targets[0].place.altitude == pytest.approx(altitude, abs=1e-3)
    assert words in targets[0].place.heights
    assert (targets[0].place.latitude, targets[0].place.longitude) == pytest.approx((34.40837, -119.88008), abs=1e-4)
    assert ("PROJ lacks" in capsys.readouterr().out) == ("+5773" in system or "+6360" in system)


def test_heights_above_the_ellipsoid_are_known_as_such(tmp_path):
    places = ["-119.88 34.408 12.5", "-119.881 34.408 12.5", "-119.88 34.409 12.5"]
    rows = [
        f"{place} {10 + index} 20 {photo} t{index}"
        for index, place in enumerate(places)
        for photo in ("a.jpg", "b.jpg")
    ]
    targets = read_targets(write(tmp_path / "gcp.txt", "EPSG:4979", *rows), photos_of("a.jpg", "b.jpg"))
    assert targets[0].place.altitude == 12.5 and "WGS 84 ellipsoid" in targets[0].place.heights


# Marks


def synthetic() -> tuple[pycolmap.Reconstruction, np.ndarray, LocalFrame]:
    """A model with eight photos, points of it that all of these show, and a frame 20 times larger."""
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_frames_per_rig=8, num_points3D=60)
    model = pycolmap.synthesize_dataset(options)
    images = [image for image in model.images.values() if image.has_pose]
    shown = [point.xyz for point in model.points3D.values() if all(_inside(image, point.xyz) for image in images)]
    return model, np.array(shown), LocalFrame(47.1, 8.4, 455.0)


def _inside(image, point) -> bool:
    pixel = image.project_point(point)
    return pixel is not None and (pixel > 0).all() and pixel[0] < image.camera.width and pixel[1] < image.camera.height


def marked(model, points, frame) -> list[Target]:
    """Targets at points of a model, marked in four photos each."""
    images = [image for image in model.images.values() if image.has_pose]
    targets = []
    for index, point in enumerate(points):
        place = GpsPosition(*frame.to_geodetic(20 * point).tolist())
        chosen = [images[(index + step) % len(images)] for step in range(4)]
        pixels = {
            image.name: tuple(image.project_point(point) / (image.camera.width, image.camera.height))
            for image in chosen
        }
        targets.append(Target(f"t{index}", place, pixels))
    return targets


@needs_pycolmap
def test_a_wrong_mark_is_found_and_the_others_of_its_target_are_kept():
    model, points, frame = synthetic()
    targets = marked(model, points[:7], frame)
    wrong = next(iter(targets[2].pixels))
    targets[2].pixels[wrong] = (0.9, 0.1)
    found, alignment, note, left_out = align_targets(model, targets, 0, 1e-3, None)
    assert left_out == {"t2": wrong} and alignment.used.all() and "7 of 7 ground control points" in note
    assert alignment.similarity.scale == pytest.approx(20, rel=1e-3)
    table = residual_table(found, alignment, left_out)
    assert table[2]["wrong_mark"] == wrong and table[2]["photos"] == 3
    assert all(entry["residual_m"] < 0.1 for entry in table)


@needs_pycolmap
def test_targets_all_in_one_place_are_refused():
    model, points, frame = synthetic()
    targets = marked(model, points[:4], frame)
    for target in targets:
        target.place = targets[0].place
    _, alignment, note, _ = align_targets(model, targets, 0, 1e-3, None)
    assert alignment is None and "all at one place" in note


def test_two_targets_at_one_pixel_are_named(tmp_path, capsys):
    read_targets(write(tmp_path / "gcp.txt", "EPSG:32611", *MARKS), photos_of("a.jpg", "b.jpg"))
    assert "t0 and t1 in a.jpg" in capsys.readouterr().out


@pytest.mark.skipif(not REAL.is_dir(), reason="the scene copr is not beside the repository")
def test_a_real_file(capsys):
    """Nine targets, all at height 0; two of them are marked in one photo only."""
    names = sorted(path.name for path in (REAL / "images").iterdir())
    targets = read_targets(REAL / "gcp_list.txt", photos_of(*names, size=(1068, 712)))
    assert len(targets) >= 3 and all(len(target.pixels) >= 2 and target.place.altitude == 0 for target in targets)
    assert all(abs(target.place.latitude - 34.41) < 0.02 for target in targets)
    told = capsys.readouterr().out
    assert "gcp04 and gcp00 in IMG_0031.jpg" in told and "are 0, so they were not measured" in told
    assert {target.place.heights for target in targets} == {ZERO_CONTROL}


@needs_pycolmap
@pytest.mark.slow
def test_a_scene_without_gps_is_placed_by_its_targets(tmp_path):
    """One target is 30 m off: it is named, and moves nothing."""
    config = TownConfig(image_size=SIZE, train_views=VIEWS, views="nadir")
    renderer, camera, poses = Renderer(build_town(0), 0), intrinsics(config), plan_cameras(config)["train"]
    for index, pose in enumerate(poses):
        rgb = renderer.view(pose, camera, SIZE, supersampling=2).rgb
        save_photo(tmp_path / "photos" / f"v{index:02d}.jpg", rgb, focal_35mm=30)
    marked = np.array([[-40, -30, 0], [35, -25, 0], [0, 40, 0], [-20, 10, 0], [30, 30, 0], [5, -5, 0]], float)
    given = marked + (np.arange(6) == 3)[:, None] * [30.0, 0.0, 0.0]
    latitude, longitude, altitude = TOWN.to_geodetic(given).T
    x, y = pyproj.Transformer.from_crs("EPSG:4326", SYSTEM, always_xy=True).transform(longitude, latitude)
    lines = [SYSTEM]
    for number, point in enumerate(marked):
        for index, pose in enumerate(poses):
            seen = camera[:3, :3] @ ((point - pose[:3, 3]) @ pose[:3, :3])
            column, row = seen[:2] / seen[2]
            if seen[2] > 0 and 0 < column < SIZE and 0 < row < SIZE:
                place = f"{x[number]:.4f} {y[number]:.4f} {altitude[number]:.4f}"
                lines.append(f"{place} {column:.3f} {row:.3f} v{index:02d}.jpg t{number}")
    control = write(tmp_path / "gcp_list.txt", *lines)
    figures = make_scene(tmp_path / "photos", tmp_path / "scene", PhotosConfig(gcp=control, threads=1))
    table = {entry["target"]: entry for entry in figures["gps"]["ground_control"]}
    assert [name for name, entry in table.items() if not entry["used"]] == [WRONG]
    assert table[WRONG]["residual_m"] == pytest.approx(30, abs=1)
    assert all(entry["residual_m"] < 0.5 for name, entry in table.items() if name != WRONG)
    assert "5 of 6 ground control points" in figures["gps"]["note"]
    scene = json.loads((tmp_path / "scene" / "transforms.json").read_text())
    origin = scene["georeference"]["origin"]
    frame = LocalFrame(origin["latitude"], origin["longitude"], origin["altitude"])
    for index, entry in enumerate(scene["frames"]):
        centre = TOWN.from_geodetic(frame.to_geodetic(np.array(entry["transform_matrix"])[:3, 3]))
        assert np.linalg.norm(centre - poses[index, :3, 3]) < 1.0, index
