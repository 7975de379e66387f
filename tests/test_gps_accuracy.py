"""Positions that are good in plan and bad in height, lie on a line, or say how exact they are: what becomes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import Georeference, origin_record
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.map_frame import GeoMapFrame
from nerfseg_ns.geo.quality import AS_PHOTOS, RTK_ELLIPSOID, TAKE_OFF, Quality
from nerfseg_ns.photos.exif import ExifFacts, GpsPosition, read_exif
from nerfseg_ns.photos.find_photos import Photo
from nerfseg_ns.photos.mrk import with_image_log
from nerfseg_ns.photos.xmp import DjiFacts, read_dji

pytest.importorskip("pycolmap")

from nerfseg_ns.photos.align import align  # noqa: E402
from nerfseg_ns.photos.up import angle, find_up  # noqa: E402

PLACE = LocalFrame(30.2, -98.1, 350.0)
SHARED = Path(__file__).parents[2] / "shared" / "data"
SCALE = 17.0


def rotation(vector: np.ndarray) -> np.ndarray:
    """The rotation about a vector by its length, radians."""
    length = np.linalg.norm(vector)
    x, y, z = vector / max(length, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(length) * cross + (1 - np.cos(length)) * cross @ cross


@dataclass
class Flight:
    """A flight in metres, and what structure from motion would make of it: other axes, other units."""

    truth: np.ndarray
    """[photos, 3]"""
    to_cameras: np.ndarray
    """[photos, 3, 3], from metres to x right, y down, z forward."""
    ground: np.ndarray

    def __post_init__(self) -> None:
        self.turn = rotation(np.array([0.7, -1.9, 0.4]))

    @property
    def centres(self) -> np.ndarray:
        return self.truth @ self.turn.T / SCALE + (3.0, -2.0, 1.0)

    def up(self, pitches=()):
        points = self.ground @ self.turn.T / SCALE + (3.0, -2.0, 1.0)
        return find_up(self.centres, self.to_cameras @ self.turn.T, points, pitches)

    @property
    def true_up(self) -> np.ndarray:
        return self.turn[:, 2]


def flight(strips: int = 4, sway: float = 3.0, slope: float = 0.0, follow: bool = False, tilt: float = 0.0) -> Flight:
    """Twelve photos a strip over 200 m, strips 40 m apart, 60 m above the ground.

    Args:
        strips: how many.
        sway: standard deviation of the views about straight down, degrees.
        slope: of the ground, degrees, to the north.
        follow: whether the flight follows it.
        tilt: of the camera's mount, degrees, the heading always north.
    """
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(np.linspace(-100, 100, 12), 40.0 * np.arange(strips))
    x[1::2] = x[1::2, ::-1]
    rise = np.tan(np.radians(slope))
    truth = np.stack([x.ravel(), y.ravel(), 60 + (rise * y.ravel() if follow else 0 * y.ravel())], -1)
    truth += rng.normal(0, 0.4, truth.shape)
    down = np.diag([1.0, -1.0, -1.0])
    swings = [rotation(np.radians([tilt, 0, 0] + rng.normal(0, sway, 3) * (1, 1, 0))) for _ in truth]
    ground = rng.uniform((-130, -30, 0), (130, 40 * strips, 0), (400, 3))
    ground[:, 2] = rise * ground[:, 1] + rng.normal(0, 1.0, 400)
    return Flight(truth, np.array([down @ swing.T for swing in swings]), ground)


def places_at(positions: np.ndarray) -> list[GpsPosition]:
    return [GpsPosition(*place) for place in PLACE.to_geodetic(positions).tolist()]


def carried(alignment, flown: Flight) -> np.ndarray:
    """Where the alignment puts the photos, in metres about the true frame."""
    matrix = alignment.similarity.matrix()
    return PLACE.from_geodetic(alignment.frame.to_geodetic(flown.centres @ matrix[:, :3].T + matrix[:, 3]))


def tipped(alignment, flown: Flight) -> float:
    return angle(alignment.similarity.matrix()[2, :3] / alignment.similarity.scale, flown.true_up)


def measured(flown: Flight, plan: float, heights: str) -> np.ndarray:
    """Positions with errors of so many metres in plan, and heights that are good, drift or are noise."""
    rng = np.random.default_rng(8)
    errors = rng.normal(0, plan, flown.truth.shape)
    count = len(flown.truth)
    errors[:, 2] = {"good": errors[:, 2], "drift": np.linspace(-20, 94, count), "noise": rng.normal(0, 40, count)}[
        heights
    ]
    return flown.truth + errors


# Heights and plan, apart


@pytest.mark.parametrize("heights", ["drift", "noise"])
def test_bad_heights_do_not_spoil_the_plan(heights):
    flown = flight()
    alignment, note = align(flown.centres, places_at(measured(flown, 3.0, heights)), up=flown.up())
    assert "heights had no say" in note and alignment.frame is not None
    assert tipped(alignment, flown) < 2
    assert alignment.similarity.scale == pytest.approx(SCALE, rel=0.02)
    assert np.linalg.norm((carried(alignment, flown) - flown.truth)[:, :2], axis=1).max() < 5
    # 3 m in each of two axes: the median distance is 3 * sqrt(2 ln 2) = 3.5 m
    assert alignment.quality.plan == pytest.approx(3.5, rel=0.3)
    assert alignment.quality.height > 15


def test_good_heights_are_used():
    flown = flight()
    alignment, note = align(flown.centres, places_at(measured(flown, 1.0, "good")), up=flown.up())
    assert "no say" not in note and alignment.quality.height < 1.5
    assert tipped(alignment, flown) < 1
    assert np.abs(carried(alignment, flown) - flown.truth).max() < 1.5


def test_heights_on_a_hillside_are_believed_against_the_ground():
    """Ground and flight both say that up is 14 degrees off; the views do not, and the heights agree with them."""
    flown = flight(slope=14, follow=True)
    alignment, note = align(flown.centres, places_at(measured(flown, 0.5, "good")), up=flown.up())
    assert "no say" not in note and tipped(alignment, flown) < 1


@pytest.mark.parametrize("heights", ["good", "drift"])
def test_one_line_is_turned_by_what_says_which_way_is_up(heights):
    flown = flight(strips=1)
    alignment, note = align(flown.centres, places_at(measured(flown, 1.0, heights)), up=flown.up())
    assert alignment.frame is not None and "east, north, up" in note
    assert tipped(alignment, flown) < 4
    assert np.linalg.norm((carried(alignment, flown) - flown.truth)[:, :2], axis=1).max() < 6


def test_without_altitudes_the_heights_are_from_the_level_of_the_flight():
    flown = flight()
    places = [replace(place, altitude=None) for place in places_at(measured(flown, 1.0, "good"))]
    alignment, note = align(flown.centres, places, up=flown.up())
    assert alignment.quality.height is None and "say no altitude" in note
    assert tipped(alignment, flown) < 2


def test_heights_above_the_takeoff_point_stand_in_for_bad_ones():
    flown = flight()
    rng = np.random.default_rng(3)
    places = [
        replace(place, above_takeoff=float(height + rng.normal(0, 0.2)))
        for place, height in zip(places_at(measured(flown, 1.0, "drift")), flown.truth[:, 2] - 5)
    ]
    alignment, note = align(flown.centres, places, up=flown.up())
    assert alignment.quality.heights == TAKE_OFF and TAKE_OFF in note
    assert alignment.quality.height < 0.5 and alignment.frame.altitude == pytest.approx(55, abs=1)


def test_positions_that_know_how_exact_they_are_count_for_it():
    """Half are good to 2 cm and half to 3 m: unweighted, the place would be off by some decimetres."""
    flown, rng = flight(), np.random.default_rng(6)
    exact = np.arange(len(flown.truth)) % 2 == 0
    deviations = np.where(exact, 0.02, 3.0)
    places = [
        replace(place, deviations=(float(value), 2 * float(value)), heights=RTK_ELLIPSOID)
        for place, value in zip(places_at(flown.truth + rng.normal(0, 1, (48, 3)) * deviations[:, None]), deviations)
    ]
    alignment, note = align(flown.centres, places, up=flown.up())
    assert RTK_ELLIPSOID in note
    assert np.abs(carried(alignment, flown) - flown.truth).max() < 0.1
    assert alignment.used[exact].all()


def test_heights_of_two_kinds_are_not_mixed():
    """Twenty photos count from elsewhere, 30 m lower: their heights have no say, their plan has."""
    flown = flight()
    places = places_at(measured(flown, 0.3, "good"))
    places = [
        place if index >= 20 else replace(place, altitude=place.altitude - 30, heights=RTK_ELLIPSOID)
        for index, place in enumerate(places)
    ]
    alignment, note = align(flown.centres, places, up=flown.up())
    assert "altitudes of 20 of 48 are counted from something else" in note
    assert alignment.quality.heights == AS_PHOTOS and alignment.used[:20].any()
    assert np.median(np.abs(carried(alignment, flown) - flown.truth)[:, 2]) < 2


@pytest.mark.parametrize("seed", range(5))
def test_positions_that_say_nothing_are_refused(seed):
    flown, rng = flight(), np.random.default_rng(seed)
    alignment, note = align(flown.centres, places_at(rng.uniform(-100, 100, flown.truth.shape)), up=flown.up())
    assert alignment is None and "in plan either" in note
    alignment, note = align(flown.centres, places_at(0 * flown.truth), up=flown.up())
    assert alignment is None and "all at one place" in note


# Which way is up


@pytest.mark.parametrize(
    "options, limit",
    [({}, 1.0), ({"slope": 10}, 1.5), ({"tilt": 12}, 1.0), ({"sway": 12}, 1.5)],
)
def test_up_is_what_two_of_three_agree_on(options, limit):
    flown = flight(**options)
    up = flown.up()
    assert angle(up.direction, flown.true_up) < limit and up.error < 8


def test_the_gimbal_knows_up_of_oblique_photos_too():
    flown = flight(tilt=50, sway=0.5, strips=1, slope=12)
    up = flown.up([-40.0] * len(flown.truth))
    assert up.source == "the gimbal's angles" and angle(up.direction, flown.true_up) < 0.5


# Real flights


def real(name: str):
    """Centres, positions, and up of a scene that lies beside the repository."""
    scene = SHARED / name
    if not scene.is_dir():
        pytest.skip(f"the scene {name} is not beside the repository")
    meta = json.loads((scene / "transforms.json").read_text())
    gps = json.loads((scene / "gps.json").read_text()) if (scene / "gps.json").exists() else None
    poses = np.array([frame["transform_matrix"] for frame in meta["frames"]])
    places = []
    for frame in meta["frames"]:
        if gps is None:
            with Image.open(scene / frame["file_path"]) as image:
                places.append(read_exif(image).position)
        else:
            found = gps[Path(frame["file_path"]).stem]
            places.append(GpsPosition(found["latitude"], found["longitude"], found["altitude_m"]))
    to_cameras = np.diag([1.0, -1.0, -1.0]) @ poses[:, :3, :3].swapaxes(1, 2)
    points = np.array(trimesh.load(scene / "sparse_pc.ply").vertices)
    return poses[:, :3, 3], places, find_up(poses[:, :3, 3], to_cameras, points)


def test_caliterra_whose_altitudes_climb_by_a_hundred_metres():
    centres, places, up = real("caliterra")
    alignment, note = align(centres, places, up=up)
    assert alignment.frame is not None and "heights had no say" in note
    assert 13 < alignment.quality.plan < 16 and 20 < alignment.quality.height < 35
    assert alignment.similarity.scale == pytest.approx(11.0, abs=0.3)
    heights = (centres @ alignment.similarity.matrix()[:, :3].T)[:, 2]
    assert np.ptp(heights) < 30  # of altitudes that differ by 114 m


@pytest.mark.parametrize("name, plan, height", [("brighton_beach", 0.34, 0.28), ("sheffield_cross", 0.38, 0.23)])
def test_flights_with_good_altitudes(name, plan, height):
    centres, places, up = real(name)
    alignment, note = align(centres, places, up=up)
    assert "no say" not in note
    assert (alignment.quality.plan, alignment.quality.height) == pytest.approx((plan, height), abs=0.02)
    assert angle(alignment.similarity.matrix()[2, :3], up.direction) < 1


# What is kept


def test_quality_goes_with_the_georeference(tmp_path):
    reference = Georeference(PLACE, np.eye(4)[:3], 0.01, Quality(TAKE_OFF, 14.43, 27.2))
    reference.save(tmp_path / "georeference.json")
    loaded = Georeference.load(tmp_path / "georeference.json")
    assert loaded.quality == reference.quality
    frame = GeoMapFrame(loaded)
    assert frame.heights == TAKE_OFF and frame.accuracy == {"plan_m": 14.43, "height_m": 27.2}
    assert "14.4 m in plan, 27.2 m in height" == loaded.quality.words()


def test_georeferences_of_before_know_nothing_of_it(tmp_path):
    content = {**origin_record(PLACE), "transform": np.eye(4)[:3].tolist(), "scale": 0.01}
    assert "accuracy" not in content and "heights" not in content
    (tmp_path / "georeference.json").write_text(json.dumps(content))
    loaded = Georeference.load(tmp_path / "georeference.json")
    assert loaded.quality == Quality() and GeoMapFrame(loaded).heights == AS_PHOTOS
    content["accuracy"] = {"plan_m": "good"}
    (tmp_path / "georeference.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="accuracy"):
        Georeference.load(tmp_path / "georeference.json")


# DJI's XMP

FIELDS = {
    "AltitudeType": "RtkAlt", "AbsoluteAltitude": "+121.668", "RelativeAltitude": "+109.983",
    "GimbalPitchDegree": "-89.90", "RtkFlag": "50",
    "RtkStdLon": "0.01224", "RtkStdLat": "0.01624", "RtkStdHgt": "0.034",
}  # fmt: skip


def packet(fields: dict[str, str], elements: bool = False) -> bytes:
    if elements:
        body = "><" + "><".join(f"drone-dji:{k}>{v}</drone-dji:{k}" for k, v in fields.items()) + "></rdf:Description>"
    else:
        body = " " + "\n ".join(f'drone-dji:{name}="{value}"' for name, value in fields.items()) + "/>"
    space = 'xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description rdf:about="DJI" {space}{body}</x:xmpmeta>'.encode()


@pytest.mark.parametrize("elements", [False, True])
def test_xmp_is_read_as_attributes_and_as_elements(elements):
    assert read_dji(packet(FIELDS, elements)) == DjiFacts(121.668, 109.983, -89.9, (0.01624, 0.034), True)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"RtkFlag": "0"}, {"deviations": None, "is_rtk": False}),
        ({"RtkFlag": "16", "AltitudeType": "GpsFusionAlt"}, {"is_rtk": False}),
        ({"RtkStdLon": "0.0", "RtkStdLat": "0", "RtkStdHgt": "0"}, {"deviations": (0.01, 0.01)}),
        ({"RtkStdHgt": "nan"}, {"deviations": None}),
        ({"RelativeAltitude": "unknown"}, {"relative": None}),
    ],
)
def test_xmp_that_says_less(change, expected):
    assert read_dji(packet({**FIELDS, **change})) == replace(read_dji(packet(FIELDS)), **expected)
    assert read_dji(b"\xff no xml <<") == read_dji(None) == DjiFacts()


def test_xmp_of_a_photo(tmp_path):
    from helpers.photo_files import gps_tags

    image = Image.fromarray(np.zeros((8, 12, 3), np.uint8))
    exif = image.getexif()
    exif.get_ifd(34853).update(gps_tags(30.0, -98.0, 121.6))
    image.save(tmp_path / "a.jpg", exif=exif, xmp=packet(FIELDS))
    with Image.open(tmp_path / "a.jpg") as opened:
        facts = read_exif(opened)
    assert facts.pitch == -89.9
    assert facts.position == GpsPosition(30.0, -98.0, 121.6, RTK_ELLIPSOID, (0.01624, 0.034), 109.983)


# DJI's image log

LOG = (
    "{n}\t282401.669089\t[2404]\t   101,N\t   107,E\t   129,V\t{lat:.8f},Lat\t{lon:.8f},Lon\t139.231,Ellh\t"
    "0.002967, 0.031, 0.05\t50,Q"
)


def flown_photos(*names: str, place=GpsPosition(30.0, -98.0, 121.6, above_takeoff=50.0)) -> list[Photo]:  # noqa: B008
    return [Photo(Path(name), (400, 300), ExifFacts(place, (), 1)) for name in names]


def test_an_image_log_places_the_photos_of_its_numbers(tmp_path, capsys):
    rows = [LOG.format(n=n, lat=30.0 + n * 1e-5, lon=-98.0) for n in (1, 2)] + [LOG.format(n=3, lat=31.0, lon=-98.0)]
    (tmp_path / "DJI_202501011200_001_Timestamp.MRK").write_text("\n".join(rows))
    photos = flown_photos("DJI_20250101120000_0001_V.JPG", "100_0001_0002.JPG", "DJI_0003.JPG", "other.jpg")
    found = with_image_log(photos, tmp_path)
    assert found[0].exif.position == GpsPosition(30.00001, -98.0, 139.231, RTK_ELLIPSOID, (0.031, 0.05), 50.0)
    assert found[1].exif.position.latitude == 30.00002
    assert found[2:] == photos[2:]  # a degree away, and without a number
    assert "2 of 4 positions are from DJI_202501011200_001_Timestamp.MRK" in capsys.readouterr().out


def test_image_logs_that_cannot_be_used(tmp_path):
    photos = flown_photos("DJI_0001.JPG")
    assert with_image_log(photos, tmp_path) == photos
    (tmp_path / "a.MRK").write_text("1 2 3")
    with pytest.raises(UserError, match="a.MRK has no line with a position"):
        with_image_log(photos, tmp_path)
    (tmp_path / "b.mrk").write_text("")
    with pytest.raises(UserError, match="2 image logs, a.MRK, b.mrk"):
        with_image_log(photos, tmp_path)
