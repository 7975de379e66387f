"""The parts of `nerfseg photos`: EXIF, copies, pairs, alignment to GPS, the scene's files."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from photo_files import gps_tags, save_photo
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational
from scenes import noise

from nerfseg_ns.errors import SceneError
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.photos.copies import copy_photo
from nerfseg_ns.photos.exif import GpsPosition, gps_position, read_exif
from nerfseg_ns.photos.find_photos import Photo, find_photos, group_by_camera
from nerfseg_ns.photos.pairs import choose_matching, find_pairs

BERN = gps_tags(46.9481, 7.4474, 540.0)
PLACE = LocalFrame(46.9481, 7.4474, 540.0)


# EXIF -----------------------------------------------------------------------------------------------------------------

POSITIONS = {
    "north east": (gps_tags(46.5, 7.25, 12.5), (46.5, 7.25, 12.5)),
    "south west": (gps_tags(-33.75, -70.125, 520.0), (-33.75, -70.125, 520.0)),
    "below the sea": (gps_tags(31.5, 35.5, -430.0), (31.5, 35.5, -430.0)),
    "below, as a number": ({**BERN, GPS.GPSAltitudeRef: 1}, (46.9481, 7.4474, -540.0)),
    "below the ellipsoid": ({**BERN, GPS.GPSAltitudeRef: b"\x03"}, (46.9481, 7.4474, -540.0)),
    "no reference of the altitude": (
        {tag: value for tag, value in BERN.items() if tag != GPS.GPSAltitudeRef},
        (46.9481, 7.4474, 540.0),
    ),
    # 46 degrees, 5688.6 / 100 minutes = 46 + 56.886 / 60 = 46.9481
    "rational numbers": (
        {**BERN, GPS.GPSLatitude: (IFDRational(46, 1), IFDRational(56886, 1000), IFDRational(0, 1))},
        (46.9481, 7.4474, 540.0),
    ),
    "degrees alone": ({**BERN, GPS.GPSLatitude: (46.9481,)}, (46.9481, 7.4474, 540.0)),
    "references as bytes": ({**BERN, GPS.GPSLatitudeRef: b"s\x00"}, (-46.9481, 7.4474, 540.0)),
    "no altitude": ({tag: value for tag, value in BERN.items() if tag != GPS.GPSAltitude}, (46.9481, 7.4474, None)),
    "an altitude of 1 / 0": ({**BERN, GPS.GPSAltitude: IFDRational(1, 0)}, (46.9481, 7.4474, None)),
    "nothing": ({}, None),
    "no latitude": ({tag: value for tag, value in BERN.items() if tag != GPS.GPSLatitude}, None),
    "no hemisphere": ({tag: value for tag, value in BERN.items() if tag != GPS.GPSLongitudeRef}, None),
    "0 / 0 degrees": ({**BERN, GPS.GPSLatitude: (IFDRational(0, 0),) * 3}, None),
    "beyond the pole": (gps_tags(90.5, 7.0, 0.0), None),
    "no satellites yet": (gps_tags(0.0, 0.0, 0.0), None),
}


@pytest.mark.parametrize("tags, expected", POSITIONS.values(), ids=POSITIONS)
def test_gps_position(tags, expected):
    found = gps_position(tags)
    if expected is None:
        assert found is None
    else:
        assert (found.latitude, found.longitude) == pytest.approx(expected[:2], abs=1e-9)
        assert found.altitude == (None if expected[2] is None else pytest.approx(expected[2]))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_is_read_from_files(tmp_path, suffix):
    path = save_photo(tmp_path / f"a.{suffix}", noise(0), (-8.5, 115.25, -2.0), orientation=6, focal_35mm=24)
    with Image.open(path) as image:
        facts = read_exif(image)
    assert facts.position == GpsPosition(-8.5, 115.25, -2.0)
    assert facts.orientation == 6
    assert facts.camera == ("nerfseg", "TestCam", "", "", "", "24")


def test_a_photo_without_exif(tmp_path):
    Image.fromarray(noise(0)).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        facts = read_exif(image)
    assert facts.position is None and facts.orientation == 1 and set(facts.camera) == {""}


def test_photos_of_one_size_camera_and_focal_length_share_a_calibration(tmp_path):
    folder = tmp_path / "in"
    for name, options in {
        "a.jpg": {},
        "b.jpg": {"model": "Other"},
        "c.jpg": {},
        "d.jpg": {"focal_35mm": 50},
        "e.jpg": {"orientation": 6},
        "f.jpg": {"orientation": 3},
    }.items():
        save_photo(folder / name, noise(0), **options)
    photos = find_photos(folder)
    assert [photo.size for photo in photos] == [(12, 8)] * 4 + [(8, 12), (12, 8)]
    assert group_by_camera(photos, "auto", 1600) == [[0, 2, 5], [1], [3], [4]]
    assert group_by_camera(photos[:4], "always", 1600) == [[0, 1, 2, 3]]
    with pytest.raises(SceneError, match="8 x 12, 12 x 8"):
        group_by_camera(photos, "always", 1600)


# Copies ---------------------------------------------------------------------------------------------------------------


def gradient(width: int, height: int) -> np.ndarray:
    """Red grows to the right, green downwards: shows how a picture was turned, and survives JPEG and scaling."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([255 * columns / width, 255 * rows / height, np.full((height, width), 90)], -1).astype(np.uint8)


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores: EXIF says where row 0 and column 0 of the stored picture are in the upright one."""
    return {
        1: upright,
        2: upright[:, ::-1],  # row 0 at the top, column 0 at the right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.swapaxes(0, 1),  # row 0 at the left, column 0 at the top
        6: upright.swapaxes(0, 1)[::-1],  # right, top
        7: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: upright.swapaxes(0, 1)[:, ::-1],  # left, bottom
    }[orientation]


def copied(source: Path, target: Path, max_side: int = 1600) -> Image.Image:
    with Image.open(source) as image:
        exif, size = read_exif(image), image.size
    copy_photo(Photo(source, size[::-1] if exif.orientation >= 5 else size, exif), target, max_side)
    return Image.open(target)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("max_side", [1600, 60])
def test_copies_are_upright_small_and_keep_their_exif(tmp_path, orientation, max_side):
    upright = gradient(120, 80)
    stored = np.ascontiguousarray(as_stored(upright, orientation))
    source = save_photo(tmp_path / "a.jpg", stored, (46.5, 7.25, 500.0), orientation, focal_35mm=24)
    copy = copied(source, tmp_path / "copy.jpg", max_side)
    size = (120, 80) if max_side == 1600 else (60, 40)
    assert copy.size == size
    assert np.abs(np.array(copy).astype(int) - gradient(*size)).mean() < 4
    facts = read_exif(copy)
    assert facts.position == GpsPosition(46.5, 7.25, 500.0) and facts.orientation == 1
    assert facts.camera == ("nerfseg", "TestCam", "", "", "", "24")


def test_a_photo_that_needs_no_change_is_copied_byte_by_byte(tmp_path):
    source = save_photo(tmp_path / "a.jpg", gradient(120, 80), orientation=1)
    copied(source, tmp_path / "copy.jpg", 120)
    assert (tmp_path / "copy.jpg").read_bytes() == source.read_bytes()


def test_resolution_of_the_sensor_goes_with_the_scale(tmp_path):
    image = Image.fromarray(gradient(120, 80))
    exif = image.getexif()
    exif.get_ifd(IFD.Exif).update({Base.ExifImageWidth: 120, Base.FocalPlaneXResolution: 3000.0})
    image.save(tmp_path / "a.jpg", exif=exif)
    details = copied(tmp_path / "a.jpg", tmp_path / "copy.jpg", 60).getexif().get_ifd(IFD.Exif)
    assert details[Base.ExifImageWidth] / details[Base.FocalPlaneXResolution] == 120 / 3000


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_copies_are_rgb(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.fromarray(gradient(40, 30)).convert(mode).save(tmp_path / f"a.{suffix}")
    copy = copied(tmp_path / f"a.{suffix}", tmp_path / f"copy.{suffix}")
    assert (copy.mode, copy.size) == ("RGB", (40, 30))


def test_a_truncated_photo_is_refused(tmp_path):
    source = save_photo(tmp_path / "a.jpg", noise(0).repeat(20, 0).repeat(20, 1))
    source.write_bytes(source.read_bytes()[:-2000])
    for max_side in (1600, 100):
        with pytest.raises(SceneError, match="a.jpg"):
            copied(source, tmp_path / "copy.jpg", max_side)


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


@pytest.mark.parametrize("wiggle, error", [(0.4, 1.0), (2.5, 4.0)])
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
        (places_at(flight("strips"))[:2], "2 registered photos"),
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
