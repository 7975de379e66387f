"""Class tables, palettes and the reader of label images."""

import json
import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, save_image
from PIL import Image

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.encoding import LabelColors, classify, decide_encoding, scan_labels
from nerfseg_ns.labels.find import find_labels
from nerfseg_ns.labels.label_maps import LabelMaps, resolve_labels
from nerfseg_ns.labels.palettes import PALETTES, choose_table
from nerfseg_ns.labels.png import PngLabel, read_label

SIZE = (WIDTH, HEIGHT)


def codes_of(*colors: tuple[int, int, int]) -> LabelColors:
    """What a scene's files hold, from colors in the files' channel order."""
    return LabelColors(np.array([red + 256 * green + 65536 * blue for red, green, blue in colors]), False)


def save_colors(path: Path, labels: np.ndarray, table: ClassTable, order: str = "rgb") -> None:
    colors = table.color_array if order == "rgb" else table.color_array[:, ::-1]
    save_image(path, np.ascontiguousarray(colors[labels]))


# Class tables


def test_class_table_survives_its_file(tmp_path):
    table = ClassTable(("Bäume", "Road"), ((1, 2, 3), (3, 2, 1)), None)
    table.save(tmp_path / "new" / "classes.json")
    assert ClassTable.load(tmp_path / "new" / "classes.json") == table
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["classes.json"]
    assert table.color_array.tolist() == [[1, 2, 3], [3, 2, 1]] and len(table) == 2


def test_class_table_of_arrays_is_plain_and_hashable():
    table = ClassTable(["A", "B"], np.array([[1, 2, 3], [3, 2, 1]]))
    assert table == ClassTable(("A", "B"), ((1, 2, 3), (3, 2, 1))) and hash(table)
    assert all(type(value) is int for color in table.colors for value in color)


def test_missing_ignore_index_is_255(tmp_path):
    (tmp_path / "classes.json").write_text('{"classes": [{"name": "A", "color": [0, 0, 0]}]}')
    assert ClassTable.load(tmp_path / "classes.json").file_ignore_index == 255


def entry(name="A", color=(0, 0, 0)):
    return {"name": name, "color": list(color)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Cannot read the class table"),
        ("[]", "No list of classes"),
        ({"classes": []}, "no classes"),
        ({"classes": ["A"]}, "Class 0 has no name or no color"),
        ({"classes": [{"name": "A"}]}, "Class 0 has no name or no color"),
        ({"classes": [entry(name=3)]}, "holds 3 where a class name"),
        ({"classes": [entry(color=(0, 0))]}, "three whole numbers"),
        ({"classes": [entry(color=(0, 0, 256))]}, "three whole numbers"),
        ({"classes": [entry(color=(0, 0, 0.5))]}, "three whole numbers"),
        ({"classes": [entry(), entry(color=(1, 1, 1))]}, "Classes 0 .* and 1 .* have the same name 'A'"),
        ({"classes": [entry(), entry("B")]}, r"same color \(0, 0, 0\)"),
        (
            {"classes": [entry(str(k), (k % 256, k // 256, 0)) for k in range(256)]},
            "256 classes; 8-bit labels allow 255",
        ),
        ({"classes": [entry()], "ignore_index": 256}, "ignore_index is 256"),
        ({"classes": [entry()], "ignore_index": True}, "ignore_index is True"),
    ],
)
def test_bad_class_table_is_one_message(tmp_path, content, message):
    path = tmp_path / "classes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message) as caught:
        ClassTable.load(path)
    assert str(path) in str(caught.value)


# Palettes


def test_palettes_are_carlas():
    older, newer, mvs = (PALETTES[name] for name in ("carla-older", "carla-newer", "carla-mvs-20"))
    assert (len(older), len(newer), len(mvs)) == (23, 30, 20)
    assert set(older.names) - set(mvs.names) == {"Unlabeled", "Pedestrian", "GuardRail"}
    assert [older.names[tag] for tag in (7, 9, 13, 22)] == ["Road", "Vegetation", "Sky", "Terrain"]
    assert [newer.names[tag] for tag in (1, 11, 14, 28, 29)] == ["Road", "Sky", "Car", "GuardRail", "Rock"]
    assert newer.colors[29] == older.colors[13][::-1]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("name", PALETTES)
def test_a_whole_palette_is_found_in_either_order(name, order):
    colors = PALETTES[name].colors if order == "rgb" else [color[::-1] for color in PALETTES[name].colors]
    assert choose_table(codes_of(*colors)) is PALETTES[name]
    assert decide_encoding(codes_of(*colors), PALETTES[name]) == order


@pytest.mark.parametrize(
    ("colors", "message"),
    [
        ([(201, 2, 3), (90, 200, 7)], r"No built-in palette has any of the label files' colors \(\(201, 2, 3\)"),
        ([(0, 0, 0), (1, 1, 1), (2, 2, 2)], "hold class indices"),
        ([(0, 0, 0), (1, 0, 0), (2, 0, 0)], "hold class indices"),
        ([(70, 70, 70), (70, 130, 180)], "in RGB and in BGR"),
    ],
)
def test_no_palette_is_guessed_from_too_little(colors, message):
    with pytest.raises(UserError, match=message):
        choose_table(codes_of(*colors))


def test_a_known_channel_order_settles_the_palette():
    colors = codes_of((70, 70, 70), (70, 130, 180))
    assert choose_table(colors, encoding="rgb") is PALETTES["carla-mvs-20"]
    assert choose_table(colors, encoding="bgr") is PALETTES["carla-newer"]  # the only one with Rock


def test_unknown_palette_name():
    with pytest.raises(UserError, match="no palette 'cityscapes'; choose one of carla-mvs-20"):
        choose_table(codes_of((70, 70, 70)), "cityscapes")


# RGB or BGR


def test_rock_in_rgb_and_sky_in_bgr_are_told_apart_by_the_other_colors():
    newer = PALETTES["carla-newer"]
    rock, road_line = (180, 130, 70), (157, 234, 50)
    assert decide_encoding(codes_of(rock, road_line), newer) == "rgb"
    assert decide_encoding(codes_of(rock, road_line[::-1]), newer) == "bgr"
    as_rock, as_sky = (classify(codes_of(rock).codes, newer, order)[0][0] for order in ("rgb", "bgr"))
    assert (newer.names[as_rock], newer.names[as_sky]) == ("Rock", "Sky")


def test_rock_or_sky_alone_is_not_decided():
    with pytest.raises(UserError, match="--label-encoding rgb or bgr"):
        decide_encoding(codes_of((180, 130, 70), (70, 70, 70)), PALETTES["carla-newer"])
    assert decide_encoding(codes_of((180, 130, 70), (70, 70, 70)), PALETTES["carla-mvs-20"]) == "bgr"


def test_order_does_not_matter_for_symmetric_colors():
    assert decide_encoding(codes_of((70, 70, 70), (128, 64, 128)), PALETTES["carla-newer"]) == "rgb"


def test_order_is_decided_over_all_files_of_a_scene(tmp_path):
    newer = PALETTES["carla-newer"]
    sky, line = newer.names.index("Sky"), newer.names.index("RoadLine")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    save_colors(paths[0], np.full((HEIGHT, WIDTH), sky), newer, "bgr")
    save_colors(paths[1], np.full((HEIGHT, WIDTH), line), newer, "bgr")
    labels = [PngLabel(path) for path in paths]
    table, labels = resolve_labels(labels, [SIZE] * 2, tmp_path / "classes.json", palette="carla-newer")
    assert table == newer and [label.encoding for label in labels] == ["bgr", "bgr"]
    assert (labels[0].read(table) == sky).all() and (labels[1].read(table) == line).all()


# Reading


def test_every_encoding_reads_the_same(tmp_path):
    labels = label_array(1)
    save_image(tmp_path / "grey.png", labels)
    save_image(tmp_path / "equal.png", np.repeat(labels[..., None], 3, axis=2))
    save_image(tmp_path / "first.png", np.stack([labels, 0 * labels, 200 + labels], axis=-1))
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette([9, 9, 9, 8, 8, 8, 7, 7, 7])
    indexed.save(tmp_path / "indexed.png")
    save_colors(tmp_path / "rgb.png", labels, TABLE)
    save_colors(tmp_path / "bgr.png", labels, TABLE, "bgr")
    for name in ("grey", "equal", "first", "indexed", "rgb", "bgr"):
        path = tmp_path / f"{name}.png"
        encoding = decide_encoding(scan_labels([path], [SIZE]), TABLE)
        assert encoding == (name if name in ("rgb", "bgr") else "index")
        read = read_label(path, TABLE, encoding)
        assert read.dtype == np.uint8 and np.array_equal(read, labels), name


def test_the_color_lookup_against_a_search(tmp_path):
    table = PALETTES["carla-newer"]
    labels = np.random.default_rng(0).integers(1, len(table), (HEIGHT, WIDTH))
    save_colors(tmp_path / "a.png", labels, table, "bgr")
    image = np.asarray(Image.open(tmp_path / "a.png"))
    slow = [[table.colors.index(tuple(pixel[::-1].tolist())) for pixel in row] for row in image]
    assert read_label(tmp_path / "a.png", table, "bgr").tolist() == slow


def test_unlabelled_pixels_become_the_one_ignore_index(tmp_path):
    labels = label_array(2)
    labels[0], labels[1] = 200, 2
    save_image(tmp_path / "a.png", labels)
    read = read_label(tmp_path / "a.png", ClassTable(TABLE.names, TABLE.colors, 200), "index")
    assert (read[0] == IGNORE_INDEX).all() and (read[1] == 2).all()


def test_a_class_can_stand_for_not_labelled(tmp_path):
    table = ClassTable(TABLE.names, TABLE.colors, 1)
    labels = label_array(3)
    save_image(tmp_path / "index.png", labels)
    save_colors(tmp_path / "rgb.png", labels, table)
    for name in ("index", "rgb"):
        read = read_label(tmp_path / f"{name}.png", table, name)
        assert np.array_equal(read, np.where(labels == 1, IGNORE_INDEX, labels))


def test_transparent_pixels_are_not_labelled(tmp_path):
    rgba = np.dstack([TABLE.color_array[label_array(1)], np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[2, 3], rgba[5, 6] = (1, 2, 3, 0), (70, 70, 70, 0)
    save_image(tmp_path / "a.png", rgba)
    assert decide_encoding(scan_labels([tmp_path / "a.png"], [SIZE]), TABLE) == "rgb"
    read = read_label(tmp_path / "a.png", TABLE, "rgb")
    assert np.argwhere(read == IGNORE_INDEX).tolist() == [[2, 3], [5, 6]]


# Mistakes, and what the user is told


def index_file(path):
    labels = label_array(0)
    labels[4, 7:9] = 9
    save_image(path, labels)


def color_file(path):
    image = TABLE.color_array[label_array(0)]
    image[3, 5:8], image[6, 0] = (1, 2, 3), (4, 5, 6)
    save_image(path, image)


def broken_file(path):
    save_image(path, np.random.default_rng(0).integers(0, 3, (HEIGHT, WIDTH), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:60])


def packed_colors(path):
    labels = label_array(0)
    packed = Image.fromarray(labels, mode="P")
    packed.putpalette(TABLE.color_array[::-1].ravel().tolist())
    packed.save(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (index_file, r"2 pixels, the first at row 4, column 7, hold the class index 9, but .* 3 classes \(0 to 2\)"),
        (color_file, r"3 pixels, the first at row 3, column 5, hold the color \(1, 2, 3\).* 1 other values are wrong"),
        (broken_file, "Cannot read the label image"),
        (lambda path: path.write_text("no image"), "Cannot read the label image"),
        (lambda path: save_image(path, label_array(0, size=(6, 4))), "is 6 x 4 pixels, its photo 12 x 8"),
        (lambda path: save_image(path, label_array(0), format="JPEG"), "is a JPEG: its compression blurs"),
        (lambda path: save_image(path, label_array(0).astype(np.uint16)), "mode I;16.*: labels must be PNGs of 8 bits"),
        (lambda path: save_image(path, label_array(0), format="TIFF"), "is a TIFF image"),
        (packed_colors, "packed into a palette"),
    ],
)
def test_bad_label_file_is_one_message(tmp_path, write, message):
    path = tmp_path / "a.png"
    write(path)
    TABLE.save(tmp_path / "classes.json")
    with pytest.raises(UserError, match=message) as caught:
        resolve_labels([PngLabel(path)], [SIZE], tmp_path / "classes.json")
    assert str(path) in str(caught.value) or write is packed_colors


def test_the_file_at_fault_is_named_among_good_ones(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        save_image(path, label_array(0))
    index_file(paths[1])
    TABLE.save(tmp_path / "classes.json")
    with pytest.raises(UserError, match="^" + re.escape(str(paths[1]))):
        resolve_labels([PngLabel(path) for path in paths], [SIZE] * 3, tmp_path / "classes.json")


def test_kinds_do_not_mix(tmp_path):
    save_image(tmp_path / "a.png", label_array(0))
    save_colors(tmp_path / "b.png", label_array(0), TABLE)
    with pytest.raises(UserError, match="a.png has one channel .*b.png has colors"):
        scan_labels([tmp_path / "a.png", tmp_path / "b.png"], [SIZE] * 2)


def test_an_encoding_that_the_files_do_not_have(tmp_path):
    save_image(tmp_path / "a.png", np.full((HEIGHT, WIDTH), 70, np.uint8))
    TABLE.save(tmp_path / "classes.json")
    with pytest.raises(UserError, match="one channel .* where colors in RGB are expected"):
        resolve_labels([PngLabel(tmp_path / "a.png")], [SIZE], tmp_path / "classes.json", encoding="rgb")


def test_labels_are_found_by_the_photos_stem(tmp_path):
    save_image(tmp_path / "b.png", label_array(0))
    assert find_labels(tmp_path, ["a", "b"]) == [None, PngLabel(tmp_path / "b.png")]
    assert find_labels(tmp_path / "none", ["a"]) == [None]
    with pytest.raises(UserError, match="b.png belongs to no photo"):
        find_labels(tmp_path, ["a"])
    save_image(tmp_path / "a.jpg", label_array(0))
    with pytest.raises(UserError, match="a.jpg is a JPEG"):
        find_labels(tmp_path, ["a", "b"])


# The label maps of a split


def test_label_maps_read_labelled_and_unlabelled_views(tmp_path):
    labels = label_array(5)
    save_image(tmp_path / "a.png", labels)
    maps = deepcopy(LabelMaps.of([None, PngLabel(tmp_path / "a.png", "index")], TABLE))
    assert maps.labelled == (1,) and maps.classes == list(TABLE.names)
    assert torch.equal(maps.colors, torch.tensor(TABLE.colors) / 255)
    read = maps.read(1, HEIGHT, WIDTH)
    assert read.dtype == torch.uint8 and np.array_equal(read[..., 0].numpy(), labels)
    assert (maps.read(0, HEIGHT, WIDTH) == IGNORE_INDEX).all()
    half = maps.read(1, HEIGHT // 2, WIDTH // 2)
    assert half.shape == (HEIGHT // 2, WIDTH // 2, 1)
    assert np.array_equal(half[..., 0].numpy(), labels[1::2, 1::2])
