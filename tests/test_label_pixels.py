"""Transparency and bit depths of label PNGs, and label maps in other sizes."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.label_files import shape, write_labelme
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array
from PIL import Image

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.encoding import decide_encoding, scan_labels
from nerfseg_ns.labels.find import find_labels
from nerfseg_ns.labels.label_maps import LabelMaps, resize_labels, resolve_labels
from nerfseg_ns.labels.png import PngLabel, read_label

SIZE = (WIDTH, HEIGHT)


def write_png(path: Path, depth: int, kind: int, values: np.ndarray, **chunks: bytes) -> None:
    """A PNG by its specification: `values` [rows, samples of a row], samples packed from the highest bit down."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", values.shape[1] // channels, len(values), depth, kind, 0, 0, 0)
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(data), "IEND": b""}
    content = b"\x89PNG\r\n\x1a\n"
    for name, part in parts.items():
        named = name.encode() + part
        content += struct.pack(">I", len(part)) + named + struct.pack(">I", zlib.crc32(named))
    path.write_bytes(content)


def read(path: Path) -> np.ndarray:
    return read_label(path, TABLE, decide_encoding(scan_labels([path], [SIZE]), TABLE))


def four(seed: int = 0) -> np.ndarray:
    """Values 0 to 3, all of which occur."""
    values = np.random.default_rng(seed).integers(0, 4, (HEIGHT, WIDTH))
    values.flat[:4] = range(4)
    return values


@pytest.mark.parametrize(
    ("opacity", "transparent"),
    [(b"\xff\xff\xff\0", [3]), (b"\0\xff\x80\0", [0, 3]), (b"\0", [0]), (b"\xff\0\0\0", [1, 2, 3])],
)
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_transparent_entries_of_a_palette_are_not_labelled(tmp_path, depth, opacity, transparent):
    values = four() if 3 in transparent else four() % 3
    palette = bytes([9, 9, 9, 70, 70, 70, 1, 2, 3, 4, 5, 6])
    write_png(tmp_path / "a.png", depth, 3, values, PLTE=palette, tRNS=opacity)
    expected = np.where(np.isin(values, transparent), IGNORE_INDEX, values)
    assert np.array_equal(read(tmp_path / "a.png"), expected)


def test_the_color_of_a_transparent_entry_does_not_matter(tmp_path):
    """An indexed export gives "transparent" any index, and the color of any class."""
    palette = bytes(TABLE.color_array.ravel().tolist()) + bytes(TABLE.colors[0])
    write_png(tmp_path / "a.png", 8, 3, four(), PLTE=palette, tRNS=b"\xff\xff\xff\0")
    assert np.array_equal(read(tmp_path / "a.png"), np.where(four() == 3, IGNORE_INDEX, four()))


def test_the_transparent_grey_is_not_labelled(tmp_path):
    write_png(tmp_path / "a.png", 8, 0, four(), tRNS=struct.pack(">H", 3))
    assert np.array_equal(read(tmp_path / "a.png"), np.where(four() == 3, IGNORE_INDEX, four()))
    write_png(tmp_path / "a.png", 8, 0, four() % 3, tRNS=struct.pack(">H", 0))
    assert np.array_equal(read(tmp_path / "a.png"), np.where(four() % 3 == 0, IGNORE_INDEX, four() % 3))


def test_the_transparent_color_is_not_labelled(tmp_path):
    colors = np.array([*TABLE.colors, (1, 2, 3)])
    write_png(tmp_path / "a.png", 8, 2, colors[four()].reshape(HEIGHT, -1), tRNS=struct.pack(">HHH", 1, 2, 3))
    assert np.array_equal(read(tmp_path / "a.png"), np.where(four() == 3, IGNORE_INDEX, four()))


def test_palettes_of_few_bits_hold_their_indices(tmp_path):
    for depth in (1, 2, 4):
        values = label_array(0) % 2**depth
        write_png(tmp_path / "a.png", depth, 3, values, PLTE=bytes(range(9)))
        assert np.array_equal(read(tmp_path / "a.png"), values)


@pytest.mark.parametrize(
    ("depth", "kind", "message"),
    [
        (16, 2, "is a PNG of 16 bits a channel: labels must be PNGs of 8 bits a channel"),
        (16, 6, "is a PNG of 16 bits a channel: labels must be PNGs of 8 bits a channel"),
        (16, 0, "labels must be PNGs of 8 bits a channel"),
        (1, 0, "is a grey PNG of bit depth 1,.* Save it with 8 bits a channel"),
        (2, 0, "is a grey PNG of bit depth 2,.* Save it with 8 bits a channel"),
        (4, 0, "is a grey PNG of bit depth 4,.* Save it with 8 bits a channel"),
    ],
)
def test_other_depths_are_refused(tmp_path, depth, kind, message):
    """Their values would become others: class 2 of 16 bits 0, a 2-bit 1 the grey 85, a 1-bit 255 class 1."""
    values = np.repeat(four() % 2, {0: 1, 2: 3, 6: 4}[kind], axis=1)
    write_png(tmp_path / "a.png", depth, kind, values)
    TABLE.save(tmp_path / "classes.json")
    with pytest.raises(UserError, match=message) as caught:
        resolve_labels([PngLabel(tmp_path / "a.png")], [SIZE], tmp_path / "classes.json")
    assert str(tmp_path / "a.png") in str(caught.value)


# Other sizes


def slow_resize(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """What `resize_labels` says, pixel by pixel."""
    nearest = np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    expected = nearest.copy()
    for row, column in np.ndindex(height, width):
        rows = slice(row * len(labels) // height, (row + 1) * len(labels) // height)
        columns = slice(column * labels.shape[1] // width, (column + 1) * labels.shape[1] // width)
        lowest = labels[rows, columns].min()
        around = nearest[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        if nearest[row, column] == IGNORE_INDEX and lowest not in around:
            expected[row, column] = lowest
    return expected


@pytest.mark.parametrize("share", [0.005, 0.05, 0.5])
@pytest.mark.parametrize(("height", "width"), [(10, 15), (13, 17), (40, 15), (39, 59), (1, 1)])
def test_resizing_against_a_slow_reference(height, width, share):
    rng = np.random.default_rng(height)
    labels = np.full((40, 60), IGNORE_INDEX, np.uint8)
    chosen = rng.random(labels.shape) < share
    labels[chosen] = rng.integers(0, 3, int(chosen.sum()))
    assert np.array_equal(resize_labels(labels, (width, height)), slow_resize(labels, height, width))


def test_points_and_strokes_survive_at_a_quarter(tmp_path):
    for offset in range(8):
        place = 20.5 + offset
        point, line = shape("Road", [(place, place)], "point"), shape("Building", [(3, 50 + offset)] * 2, "line")
        line["points"][1][0] = 75.0
        write_labelme(tmp_path / "a.json", [point, line], (80, 80))
        small = LabelMaps.of(find_labels(tmp_path, ["a"]), TABLE).read(0, 20, 20)[..., 0].numpy()
        rows, columns = np.nonzero(small == 1)
        assert 1 <= len(rows) <= 4 and np.abs(np.stack([rows, columns]) * 4 + 2 - place).max() <= 4
        rows, columns = np.nonzero(small == 0)
        assert set(columns) >= set(range(1, 18)) and np.ptp(rows) <= 1


def test_areas_keep_the_borders_of_nearest_neighbour():
    labels = np.full((80, 80), IGNORE_INDEX, np.uint8)
    labels[9:50, 21:63], labels[51:78, 5:30] = 1, 2
    for size in ((20, 20), (40, 27), (160, 160), (160, 20)):
        nearest = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
        assert np.array_equal(resize_labels(labels, size), nearest)
    full = label_array(3)
    assert np.array_equal(resize_labels(full, (5, 3)), Image.fromarray(full).resize((5, 3), Image.Resampling.NEAREST))
