"""How `nerfseg photos` chooses pairs, aligns to GPS positions and writes the scene's files."""

from __future__ import annotations

import json
import math
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.pairs import choose_matching, find_pairs

PLACE = LocalFrame(46.9481, 7.4474, 540.0)


# Pairs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted, photos, located, expected",
    [
        ("auto", 60, 60, "exhaustive"),
        ("auto", 61, 31, "spatial"),
        ("auto", 61, 30, "sequential"),
        ("sequential", 5, 5, "sequential"),
        ("exhaustive", 500, 500, "exhaustive"),
    ],
)
def test_choice_of_the_matching(wanted, photos, located, expected):
    assert choose_matching(wanted, photos, located) == expected


def test_sequential_pairs_are_neighbours_and_some_far_apart():
    pairs = set(find_pairs("sequential", [None] * 70))
    near = {(a, b) for a, b in combinations(range(70), 2) if b - a <= 15}
    far = {(a, b) for a, b in combinations(range(70), 2) if b - a in (16, 32, 64)}
    assert pairs == near | far
    assert find_pairs("exhaustive", [None] * 4) == list(combinations(range(4), 2))


def test_spatial_pairs_are_the_nearest_and_lose_nobody():
    rng = np.random.default_rng(0)
    positions = [None if index in (10, 40) else rng.uniform(0, 100, 3) for index in range(60)]
    positions[20] = np.array([1e6, 0.0, 0.0])
    pairs = find_pairs("spatial", positions)
    assert pairs == sorted(set(pairs)) and all(first < second for first, second in pairs)
    expected = {(a, b) for a, b in combinations(range(60), 2) if b - a <= 2}
    expected |= {(min(lost, b), max(lost, b)) for lost in (10, 40) for b in range(60) if 0 < abs(lost - b) <= 15}
    located = [index for index in range(60) if positions[index] is not None]
    for index in located:
        by_distance = sorted(located, key=lambda other: math.dist(positions[index], positions[other]))
        expected |= {(min(index, other), max(index, other)) for other in by_distance[1:21]}
    assert set(pairs) == expected


# Alignment ------------------------------------------------------------------------------------------------------------


def flight(kind: str, count: int = 24) -> np.ndarray:
    """Positions in metres, east, north, up."""
    rng = np.random.default_rng(4)
    if kind == "one place":
        return np.zeros((count, 3))
    along = np.linspace(-100, 100, count)
    if kind == "line":
        return np.stack([0.8 * along, 0.6 * along, np.full(count, 50.0)], -1)
    strips = np.stack([along, 30.0 * (np.arange(count) % 3), np.full(count, 50.0)], -1)
    return strips + rng.normal(0, 2.0, (count, 3))


def seen_by_colmap(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The same cameras in other axes and units; returns them, the rotation to metres and the scale to metres."""
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    return (positions @ rotation) / 17.0 + (3.0, -2.0, 1.0), rotation, 17.0


def places_at(positions: np.ndarray) -> list[GpsPosition]:
    return [GpsPosition(*place) for place in PLACE.to_geodetic(positions).tolist()]


@pytest.mark.parametrize("outliers", [0, 1, 9])
@pytest.mark.parametrize("error", [0.0, 1.5])
def test_alignment_recovers_scale_rotation_and_place(outliers, error):
    pytest.importorskip("pycolmap")
    from nerfseg_ns.photos.align import align

    truth, rng = flight("strips"), np.random.default_rng(2)
    measured = truth + rng.normal(0, error, truth.shape)
    wrong = rng.choice(len(truth), outliers, replace=False)
    measured[wrong] += rng.uniform(60, 5000, (outliers, 3)) * rng.choice([-1, 1], (outliers, 3))
    centres, rotation, scale = seen_by_colmap(truth)
    alignment, note = align(centres, places_at(measured))
    assert "east, north, up" in note
    assert not alignment.used[wrong].any() and alignment.used.sum() >= 0.8 * (len(truth) - outliers)
    matrix = alignment.similarity.matrix()
    tolerance = 1e-3 if error == 0 else 0.05
    np.testing.assert_allclose(matrix[:, :3], scale * rotation, atol=tolerance * scale)
    aligned = centres @ matrix[:, :3].T + matrix[:, 3]
    np.testing.assert_allclose(
        PLACE.from_geodetic(alignment.frame.to_geodetic(aligned)), truth, atol=0.01 + 1.5 * error
    )
    np.testing.assert_allclose(
        PLACE.from_ecef(alignment.frame.ecef_origin), measured[alignment.used].mean(0), atol=1e-3
    )
    assert alignment.median_residual == pytest.approx(1.54 * error, abs=0.01 + 0.5 * error)  # of three normal errors


@pytest.mark.parametrize("wiggle, error", [(0.4, 0.0), (0.4, 1.0), (2.5, 4.0)])
def test_a_straight_line_gives_metres_only(wiggle, error):
    pytest.importorskip("pycolmap")
    from nerfseg_ns.photos.align import align

    rng = np.random.default_rng(3)
    truth = flight("line") + rng.normal(0, wiggle, (24, 3))
    centres, _, scale = seen_by_colmap(truth)
    alignment, note = align(centres, places_at(truth + rng.normal(0, error, truth.shape)))
    assert alignment.frame is None and "straight line" in note
    np.testing.assert_allclose(alignment.similarity.matrix(), scale * np.eye(3, 4), atol=0.05 * scale)


@pytest.mark.parametrize(
    "places, word",
    [
        (places_at(flight("strips"))[:2], "have 2 GPS positions"),
        (places_at(flight("one place")), "one place"),
        (places_at(np.random.default_rng(0).uniform(-100, 100, (24, 3))), "do not fit"),
    ],
    ids=["two", "one place", "anything"],
)
def test_positions_that_say_nothing_are_left_aside(places, word):
    pytest.importorskip("pycolmap")
    from nerfseg_ns.photos.align import align

    alignment, note = align(seen_by_colmap(flight("strips"))[0][: len(places)], places)
    assert alignment is None and word in note


# The scene's files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cameras", [1, 2])
def test_transforms_project_the_points_to_where_they_were_seen(tmp_path, cameras):
    """The poses, and one or several lenses, as nerfstudio reads them; nothing but its conventions is used here."""
    pycolmap = pytest.importorskip("pycolmap")
    from nerfseg_ns.photos.write_scene import write_scene

    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions(num_rigs=cameras, num_frames_per_rig=3, num_points3D=40)
    options.camera_model_id = pycolmap.CameraModelId.OPENCV
    options.camera_params = [900.0, 910.0, 512.0, 384.0, 0.02, -0.01, 0.003, -0.002]
    model = pycolmap.synthesize_dataset(options)
    images = list(model.images.values())
    for number, image in enumerate(images):
        image.name = f"{len(images) - number}.jpg"
    write_scene(tmp_path, model, frame=None)
    scene = json.loads((tmp_path / "transforms.json").read_text())
    assert [frame["file_path"] for frame in scene["frames"]] == sorted(f"images/{image.name}" for image in images)
    assert scene["camera_model"] == "OPENCV" and ("fl_x" in scene) == (cameras == 1)
    assert "georeference" not in scene and "applied_transform" not in scene
    frames = {frame["file_path"]: {**scene, **frame} for frame in scene["frames"]}
    for image in images:
        seen = [point for point in image.points2D if point.has_point3D()]
        points = np.array([model.points3D[point.point3D_id].xyz for point in seen])
        assert len(seen) > 10
        np.testing.assert_allclose(
            project(frames[f"images/{image.name}"], points), np.array([point.xy for point in seen]), atol=1e-6
        )


def project(frame: dict, points: np.ndarray) -> np.ndarray:
    """Pixels of world points by OpenCV's lens model; the camera looks along -z, y up."""
    local = (np.linalg.inv(frame["transform_matrix"]) @ np.c_[points, np.ones(len(points))].T)[:3]
    x, y = local[0] / -local[2], -local[1] / -local[2]
    r2 = x**2 + y**2
    radial = 1 + frame["k1"] * r2 + frame["k2"] * r2**2
    u = x * radial + 2 * frame["p1"] * x * y + frame["p2"] * (r2 + 2 * x**2)
    v = y * radial + 2 * frame["p2"] * x * y + frame["p1"] * (r2 + 2 * y**2)
    return np.stack([frame["fl_x"] * u + frame["cx"], frame["fl_y"] * v + frame["cy"]], axis=-1)


# Lenses ---------------------------------------------------------------------------------------------------------------


class FakeReconstructor:
    """Places so many photos, first with the lens that was asked for, then with the simplest."""

    def __init__(self, *placed: int) -> None:
        self.placed, self.simplified = list(placed), False

    def simplify_lenses(self) -> None:
        self.simplified = True

    def place(self, count: int) -> list:
        number = self.placed.pop(0)
        return [SimpleNamespace(num_reg_images=lambda: number)] if number else []


@pytest.mark.parametrize(
    "model, placed, kept, tried",
    [
        ("OPENCV", (2, 38), 38, True),
        ("OPENCV", (0, 38), 38, True),
        ("RADIAL", (20, 12), 20, True),
        ("OPENCV", (33, 41), 33, False),
        ("PINHOLE", (2, 38), 2, False),
        ("SIMPLE_RADIAL", (2, 38), 2, False),
    ],
)
def test_a_simpler_lens_is_tried_where_many_photos_are_lost(model, placed, kept, tried, tmp_path, capsys):
    pytest.importorskip("pycolmap")
    from nerfseg_ns.photos.config import PhotosConfig
    from nerfseg_ns.photos.steps import SceneMaker

    maker = SceneMaker([], [], PhotosConfig(camera_model=model), tmp_path, tmp_path)
    reconstructor = FakeReconstructor(*placed)
    assert maker._place(reconstructor, 41)[0].num_reg_images() == kept
    assert reconstructor.simplified == tried
    said = capsys.readouterr().out
    assert (f"{model} placed {placed[0]} of 41" in said.replace("\n", " ")) == tried


def test_simpler_lenses_keep_what_is_known_of_the_focal_length(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    from nerfseg_ns.photos.config import PhotosConfig
    from nerfseg_ns.photos.reconstruct import Reconstructor

    reconstructor = Reconstructor(tmp_path, tmp_path, PhotosConfig())
    with pycolmap.Database.open(reconstructor.database) as database:
        for known in (True, False):
            camera = pycolmap.Camera.create_from_model_name(pycolmap.INVALID_CAMERA_ID, "OPENCV", 500.0, 640, 480)
            camera.has_prior_focal_length = known
            database.write_camera(camera)
    reconstructor.simplify_lenses()
    with pycolmap.Database.open(reconstructor.database) as database:
        cameras = database.read_all_cameras()
    assert [camera.model.name for camera in cameras] == ["SIMPLE_RADIAL"] * 2
    assert [camera.has_prior_focal_length for camera in cameras] == [True, False]
    assert [list(camera.params) for camera in cameras] == [[500.0, 320.0, 240.0, 0.0]] * 2
