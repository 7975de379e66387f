"""What `nerfseg photos` reads from EXIF, and the copies it makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.photo_files import gps_tags, save_photo
from helpers.scenes import noise
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from nerfseg_ns.errors import UserError
from nerfseg_ns.photos.copies import copy_photo
from nerfseg_ns.photos.exif import GpsPosition, gps_position, read_exif
from nerfseg_ns.photos.find_photos import Photo, find_photos, group_by_camera

BERN = gps_tags(46.9481, 7.4474, 540.0)


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
    with pytest.raises(UserError, match="8 x 12, 12 x 8"):
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
        with pytest.raises(UserError, match="a.jpg"):
            copied(source, tmp_path / "copy.jpg", max_side)
