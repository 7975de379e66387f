"""The local frame, the georeference and Earth Studio's tracks, against formulas and exports from elsewhere."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from pyproj.transformer import TransformerGroup

from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.earth_studio import EARTH_RADIUS, Track, load_track, read_track, write_track
from nerfseg_ns.geo.georeference import Georeference, origin_record, read_origin
from nerfseg_ns.geo.grids import missing_grids, rough_way_remark
from nerfseg_ns.geo.local_frame import LocalFrame

PLACES = [(47.3769, 8.5417, 408.0), (-33.86, 151.21, 3.5), (0.0, -180.0, 0.0), (78.2, 15.6, 1200.0)]


def geodetic_to_ecef(latitude: float, longitude: float, altitude: float) -> np.ndarray:
    """The closed form on the WGS 84 ellipsoid."""
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    phi, lam = np.radians([latitude, longitude])
    n = a / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    across = (n + altitude) * np.cos(phi)
    return np.array([across * np.cos(lam), across * np.sin(lam), (n * (1 - e2) + altitude) * np.sin(phi)])


def sphere_to_ecef(latitude: float, longitude: float, altitude: float) -> np.ndarray:
    phi, lam = np.radians([latitude, longitude])
    up = np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    return (EARTH_RADIUS + altitude) * up


def turn(angle: float, axis: int) -> np.ndarray:
    """A right-handed rotation about x, y or z, degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix, (i, j) = np.eye(3), ((1, 2), (2, 0), (0, 1))[axis]
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


# The local frame


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("radius", "to_ecef"), [(None, geodetic_to_ecef), (EARTH_RADIUS, sphere_to_ecef)])
def test_the_origin_and_the_way_back(place, radius, to_ecef):
    frame = LocalFrame(*place, radius)
    np.testing.assert_allclose(frame.ecef_origin, to_ecef(*place), atol=1e-6)
    again = LocalFrame.at_ecef(to_ecef(*place), radius)
    np.testing.assert_allclose(again.ecef_origin, frame.ecef_origin, atol=1e-6)
    assert again.earth_radius == radius
    np.testing.assert_allclose(frame.from_geodetic(np.array(place)), 0, atol=1e-6)


@pytest.mark.parametrize("place", PLACES[:2])
@pytest.mark.parametrize(("radius", "to_ecef"), [(None, geodetic_to_ecef), (EARTH_RADIUS, sphere_to_ecef)])
def test_axes_are_east_north_up(place, radius, to_ecef):
    """A step in longitude, latitude and altitude is one along x, y and z, measured in earth-centred coordinates."""
    frame = LocalFrame(*place, radius)
    for axis, change in enumerate([(0, 1e-6, 0), (1e-6, 0, 0), (0, 0, 0.1)]):
        moved = np.array(place) + change
        length = np.linalg.norm(to_ecef(*moved) - to_ecef(*place))
        expected = np.eye(3)[axis] * length
        np.testing.assert_allclose(frame.from_geodetic(moved), expected, atol=1e-6)
        np.testing.assert_allclose(frame.from_ecef(to_ecef(*moved)), expected, atol=1e-6)


@pytest.mark.parametrize("radius", [None, EARTH_RADIUS])
def test_geodetic_and_ecef_agree_over_kilometres(radius):
    frame = LocalFrame(47.3769, 8.5417, 408.0, radius)
    points = np.random.default_rng(0).uniform(-3000, 3000, (2, 5, 3))
    places = frame.to_geodetic(points)
    to_ecef = geodetic_to_ecef if radius is None else sphere_to_ecef
    ecef = np.array([to_ecef(*place) for place in places.reshape(-1, 3)]).reshape(2, 5, 3)
    np.testing.assert_allclose(frame.from_ecef(ecef), points, atol=1e-6)
    np.testing.assert_allclose(frame.to_ecef(points), ecef, atol=1e-6)
    np.testing.assert_allclose(frame.from_geodetic(places), points, atol=1e-6)


@pytest.mark.parametrize("place", [(91, 0, 0), (0, 400, 0), (0, 0, np.nan), (np.inf, 0, 0)])
def test_no_place_on_the_earth(place):
    with pytest.raises(UserError, match="not a place on the earth"):
        LocalFrame(*place)


# The georeference


def test_georeference_takes_scene_coordinates_to_metres():
    """scene = 0.01 (R local + t), R a quarter turn about z: local (30, 40, 5) is 0.01 ((-40, 30, 5) + (1, 2, 3))."""
    transform = np.column_stack([turn(90, 2), [1.0, 2.0, 3.0]])
    reference = Georeference(LocalFrame(47.0, 8.0, 400.0), transform, 0.01)
    np.testing.assert_allclose(reference.to_local(np.array([-0.39, 0.32, 0.08])), [30, 40, 5], atol=1e-12)
    assert reference.metres_per_unit == 100
    np.testing.assert_allclose(reference.to_geodetic(np.array([0.01, 0.02, 0.03])), [47.0, 8.0, 400.0], atol=1e-9)


@pytest.mark.parametrize("radius", [None, EARTH_RADIUS])
def test_georeference_survives_its_file(tmp_path: Path, radius):
    transform = np.column_stack([turn(31.7, 0), [0.1, 1 / 3, -2e5]])
    reference = Georeference(LocalFrame(-12.3456789012345, 98.7, -1.5, radius), transform, 1 / 137)
    reference.save(tmp_path / "georeference.json")
    loaded = Georeference.load(tmp_path / "georeference.json")
    assert (loaded.frame, loaded.scale) == (reference.frame, reference.scale)
    np.testing.assert_array_equal(loaded.transform, transform)
    assert read_origin(origin_record(reference.frame), "here") == reference.frame
    copy.deepcopy(reference).to_geodetic(np.zeros((1, 3)))  # nerfstudio copies the metadata of its dataparsers


@pytest.mark.parametrize("shape", [(3,), (1, 3), (0, 3), (2, 3), (2, 1, 3)])
def test_shapes_are_kept(shape):
    frame = LocalFrame(47.0, 8.0, 400.0)
    reference = Georeference(frame, np.eye(4)[:3], 0.5)
    for convert in (frame.from_geodetic, frame.to_geodetic, frame.to_ecef, reference.to_local, reference.to_geodetic):
        assert convert(np.full(shape, 1.5)).shape == shape


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"origin": {"latitude": 1}, "transform": [], "scale": 1}'])
def test_georeference_of_another_form(tmp_path: Path, text):
    (tmp_path / "georeference.json").write_text(text)
    with pytest.raises(UserError, match="georeference.json"):
        Georeference.load(tmp_path / "georeference.json")


# Earth Studio's tracks


def random_track(seed: int = 0, count: int = 6, earth_radius: float | None = EARTH_RADIUS) -> Track:
    """Random poses around a place; the field of view changes from frame to frame."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = [turn(a, 0) @ turn(b, 1) @ turn(c, 2) for a, b, c in rng.uniform(-180, 180, (count, 3))]
    poses[:, :3, 3] = rng.uniform(-800, 800, (count, 3))
    frame = LocalFrame(*rng.uniform((-80, -180, 0), (80, 180, 2000)), earth_radius)
    return Track("walk", (1920, 1080), frame, poses, rng.uniform(10, 90, count), np.array([[0.0, 0, 0], [5, 6, 7]]))


def real_frame(place: tuple[float, float, float], rotation: tuple[float, float, float], fov: float) -> dict:
    return {
        "position": dict(zip("xyz", sphere_to_ecef(*place).tolist(), strict=True)),
        "rotation": dict(zip("xyz", rotation, strict=True)),
        "coordinate": dict(zip(("latitude", "longitude", "altitude"), place, strict=True)),
        "fovVertical": fov,
    }


def content_of(*frames: dict) -> dict:
    return {"name": "n", "width": 1920, "height": 1080, "numFrames": len(frames) - 1, "cameraFrames": list(frames)}


@pytest.mark.parametrize("seed", range(4))
def test_tracks_are_read_as_they_were_written(seed):
    track = random_track(seed)
    found = read_track(json.loads(json.dumps(write_track(track))), "here")
    np.testing.assert_allclose(found.poses, track.poses, atol=2e-8)
    np.testing.assert_allclose(found.fov_vertical, track.fov_vertical)
    np.testing.assert_allclose(found.track_points, track.track_points, atol=1e-7)
    assert (found.name, found.size, found.frame.earth_radius) == ("walk", (1920, 1080), EARTH_RADIUS)
    np.testing.assert_allclose(found.frame.ecef_origin, track.frame.ecef_origin, atol=1e-7)


def test_a_real_export():
    """The first frame and Track Point 1 of the export in the repository of github.com/FedericoCGI's thesis on
    matchmoving (code/Matlab/Fiumicino 5.json): the camera will fly past the point, level with it."""
    first = {
        "position": {"x": 4641402.092371935, "y": 1006845.8177051805, "z": 4246578.5378838815},
        "rotation": {"x": 34.7135846718366, "y": -32.15141262151565, "z": 120.62973828878629},
        "coordinate": {"latitude": 41.80111998059499, "longitude": 12.239373634406405, "altitude": 1},
        "fovVertical": 20,
    }
    content = content_of(first) | {
        "trackPoints": [{"position": {"x": 4641105.827845292, "y": 1007416.9435954966, "z": 4246766.883008552}}]
    }
    found = read_track(content, "here")
    assert found.frame.latitude == pytest.approx(41.80339220010717, abs=1e-12)
    assert found.frame.longitude == pytest.approx(12.246865004696872, abs=1e-12)
    assert found.frame.altitude == pytest.approx(1, abs=1e-6)
    right, down, forward = found.poses[0, :3, :3].T
    assert down @ [0, 0, 1] == pytest.approx(-1, abs=1e-4)  # upright and level
    assert np.degrees(np.arctan2(forward[0], forward[1])) == pytest.approx(-21.0, abs=0.01)
    # The flight is along the image's x axis: when the point is ahead, its height is that of the image's middle.
    local = found.poses[0, :3, :3].T @ -found.poses[0, :3, 3]
    np.testing.assert_allclose(local, [670.3, 0.0, 13.4], atol=0.1)


def test_straight_down_has_north_up():
    """Longitude 0, pan 0, tilt 0 as set in Earth Studio, and the angles it exported: stackoverflow.com/q/68705448."""
    place = (33.9165151812, 0.0, 1725.0)
    found = read_track(content_of(real_frame(place, (180, -56.0834848188, -89.9999999998), 20)), "here")
    np.testing.assert_allclose(found.poses[0, :3, :3], np.diag([1, -1, -1]), atol=1e-9)  # right east, down south


def test_an_oblique_view_has_the_heading_that_was_set():
    """Heading 270.12, pitch -44.61, roll 0, and the angles exported for them: community.cesium.com/t/43144."""
    place = (31.23933153689792, 121.73286024286688, 20695.0)
    rotation = (159.34465662912814, 67.17562316976208, 45.669011717197826)
    found = read_track(content_of(real_frame(place, rotation, 20)), "here")
    right, down, forward = found.poses[0, :3, :3].T
    assert np.degrees(np.arctan2(forward[0], forward[1])) % 360 == pytest.approx(270.12, abs=0.01)
    assert np.degrees(np.arcsin(forward[2])) == pytest.approx(-44.61, abs=0.01)
    assert right[2] == pytest.approx(0, abs=1e-4) and down[2] < -0.7


def test_the_origin_is_the_chosen_track_point_or_the_cameras_mean():
    content = write_track(random_track())
    content["trackPoints"][1]["coordinate"]["isOrigin"] = True
    point = content["trackPoints"][1]["position"]
    np.testing.assert_allclose(read_track(content, "").frame.ecef_origin, [point[k] for k in "xyz"], atol=1e-7)
    del content["trackPoints"]
    found = read_track(content, "")
    np.testing.assert_allclose(found.poses[:, :3, 3].mean(axis=0), 0, atol=1e-7)
    assert found.track_points.shape == (0, 3)


def test_positions_from_a_track_point_give_the_same_poses():
    content = write_track(random_track())
    expected = read_track(content, "")
    origin = dict(content["trackPoints"][0]["position"])
    for record in content["cameraFrames"] + content["trackPoints"]:
        record["position"] = {key: value - origin[key] for key, value in record["position"].items()}
    np.testing.assert_allclose(read_track(content, "").poses, expected.poses, atol=1e-6)


def test_positions_on_the_ellipsoid_are_told_apart():
    track = random_track(earth_radius=None)
    found = read_track(write_track(track), "")
    assert found.frame.earth_radius is None
    np.testing.assert_allclose(found.poses, track.poses, atol=2e-8)


def test_intrinsics_follow_the_field_of_view_and_the_size_on_disk():
    """Height 1080, 90 degrees: f = 540; 60 degrees: f = 540 / tan 30 = 935.307. At a third of the size, a third."""
    track = read_track(content_of(*(real_frame((47, 8, 500 + fov), (0, 0, 0), fov) for fov in (90, 60))), "")
    np.testing.assert_allclose(track.intrinsics((1920, 1080)), [[540, 540, 960, 540], [935.307436] * 2 + [960, 540]])
    np.testing.assert_allclose(track.intrinsics((640, 360))[1], [311.769145] * 2 + [320, 180])
    np.testing.assert_allclose(track.intrinsics((300, 169))[0], [84.375, 84.5, 150, 84.5])  # 168.75 rounded
    for size in ((1080, 1920), (1000, 1000), (640, 350)):
        with pytest.raises(UserError, match=f"{size[0]} x {size[1]} pixels.*1920 x 1080.*aspect"):
            track.intrinsics(size)


def _set(value, *path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda c: c.pop("cameraFrames"), ["no list cameraFrames"]),
        (_set({}, "cameraFrames"), ["no list cameraFrames"]),
        (_set([], "cameraFrames"), ["cameraFrames is empty"]),
        (lambda c: c.pop("numFrames"), ["numFrames is missing"]),
        (_set(300, "numFrames"), ["6 cameraFrames, but numFrames is 300"]),
        (_set(0, "width"), ["width is 0"]),
        (_set("wide", "height"), ["height is 'wide'"]),
        (_set(180, "cameraFrames", 1, "fovVertical"), [r"cameraFrames\[1\]: fovVertical is 180 degrees"]),
        (_set(float("nan"), "cameraFrames", 2, "rotation", "y"), [r"cameraFrames\[2\], rotation: y is nan"]),
        (_set(None, "cameraFrames", 2, "position", "z"), [r"cameraFrames\[2\], position: z is missing"]),
        (_set(True, "cameraFrames", 2, "position", "z"), [r"position: z is True"]),
        (_set([1, 2, 3], "cameraFrames", 3, "position"), [r"cameraFrames\[3\] has no position with x, y, z"]),
        (_set("frame", "cameraFrames", 4), [r"cameraFrames\[4\] has no position", r"\[4\] has no rotation"]),
        (_set(95, "cameraFrames", 0, "coordinate", "latitude"), ["no camera can be at latitude 95"]),
        (_set(-9000, "cameraFrames", 0, "coordinate", "altitude"), ["altitude -9000 m"]),
        (_set(12.0, "cameraFrames", 5, "coordinate", "longitude"), [r"\[5\]: position and coordinate are .* m apart"]),
        (_set({}, "trackPoints", 0, "position"), [r"trackPoints\[0\], position: x is missing"]),
    ],
)
def test_what_is_wrong_with_a_track_is_said(change, messages):
    content = write_track(random_track())
    change(content)
    with pytest.raises(UserError) as raised:
        read_track(content, "track.json")
    for message in messages:
        assert raised.match(message) and raised.match("track.json")


def test_everything_that_is_wrong_is_said_at_once():
    content = write_track(random_track())
    content["width"], content["cameraFrames"][0]["fovVertical"] = -1, 0
    content["cameraFrames"][3]["rotation"]["x"] = float("inf")
    with pytest.raises(UserError) as raised:
        read_track(content, "track.json")
    assert len(raised.value.problems) == 3


def test_a_file_that_is_cut_off(tmp_path: Path):
    path = tmp_path / "track.json"
    path.write_text(json.dumps(write_track(random_track()))[:500])
    with pytest.raises(UserError, match="track.json.*Expected Earth Studio's 3D tracking data, complete"):
        load_track(path)


def test_a_rougher_way_between_systems_is_told():
    """As this installation of PROJ has it: the grids that a system needs are there, or are named."""
    assert missing_grids("EPSG:4326", "EPSG:32617") == [] and rough_way_remark("EPSG:4326", "EPSG:32617") == ""
    available = TransformerGroup("EPSG:4326", "EPSG:31467", always_xy=True).best_available
    remark = rough_way_remark("EPSG:4326", "EPSG:31467")
    assert available == (remark == "") and (available or "DHDN" in remark and "some metres" in remark)
