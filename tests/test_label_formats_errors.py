"""Bad label files: what the user is told."""

import json
import math

import numpy as np
import pytest
from helpers.label_files import runs, shape, write_coco, write_json, write_labelmap, write_labelme
from helpers.scenes import HEIGHT, TABLE, WIDTH, save_image

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.find import find_labels
from nerfseg_ns.labels.label_maps import resolve_labels

SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]
FLAT = [[0, 0, 4, 0, 4, 4]]
ROAD = (128, 64, 128)


def complaints(folder, stems=("a",), classes=True) -> tuple[str, ...]:
    """What is found wrong with the labels of a folder."""
    if classes:
        TABLE.save(folder.parent / "classes.json")
    with pytest.raises(UserError) as caught:
        labels = find_labels(folder, list(stems))
        resolve_labels(labels, [(WIDTH, HEIGHT)] * len(stems), folder.parent / "classes.json")
    return caught.value.problems


def labelme(*shapes, **changes):
    return lambda path: write_labelme(path, list(shapes), **changes)


def coco(segmentation, **changes):
    return lambda path: write_coco(path, {"a.jpg": [(1, segmentation)]}, **changes)


def truncated(path):
    write_labelme(path, [shape("Road", SQUARE)])
    path.write_text(path.read_text()[:150])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        # Files
        (truncated, r"Cannot read the labels .*a.json: .*Is the file complete\?"),
        (lambda path: path.write_bytes(b""), r"Cannot read the labels .*a.json: .*Is the file complete\?"),
        (lambda path: path.write_bytes(b'{"shapes": "\xff"}'), "Cannot read the labels .*a.json: .*can't decode"),
        (lambda path: path.write_text("[" * 100_000), "Cannot read the labels .*a.json"),
        (
            lambda path: write_json(path, {"frames": []}),
            'is not a label file: LabelMe\'s have .*"shapes", COCO\'s .*"images"',
        ),
        (lambda path: write_json(path, [1]), "is not a label file"),
        (lambda path: write_json(path, {"shapes": None, "imageWidth": 3}), "is not a label file"),
        # LabelMe
        (labelme(shape("Road", SQUARE), size=(6, 4)), "a.json is 6 x 4 pixels, its photo 12 x 8"),
        (
            labelme(shape("Road", SQUARE), imageWidth=None),
            "imageWidth None and imageHeight 8: expected the photo's size",
        ),
        (labelme(shape("Road", SQUARE), imageHeight=0), "imageHeight 0"),
        (labelme(shape("road", SQUARE)), r"shape 1 of 1 \('road'\) has the class 'road', .* the closest is 'Road'"),
        (labelme(shape("Rood", SQUARE)), "the closest is 'Road'"),
        (labelme(shape("Xyz", SQUARE)), "it has 'Building', 'Road', 'Vegetation'. Correct the name, or add"),
        (labelme(shape("Road", SQUARE[:2])), "is a polygon of 2 points; it needs at least 3"),
        (labelme(shape("Road", SQUARE, "circle")), "is a circle of 4 points; it needs 2"),
        (labelme(shape("Road", SQUARE[:1], "rectangle")), "is a rectangle of 1 points; it needs 2 to 4"),
        (labelme(shape("Road", SQUARE, "blob")), "is a 'blob'; known shapes are polygon, rectangle"),
        (labelme(shape("Road", [*SQUARE, (math.nan, 3)])), r"has a point at \(nan, 3\)"),
        (labelme(shape("Road", [*SQUARE, (-math.inf, 3)])), r"has a point at \(-inf, 3\)"),
        (labelme(shape("Road", [*SQUARE, (3, 1e9)])), r"has a point at \(3, 1e\+09\)"),
        (labelme({**shape("Road", SQUARE), "points": [[1, 2], [3]]}), "points that are not pairs of numbers"),
        (labelme({**shape("Road", SQUARE), "points": [["1", "2"]] * 3}), "points that are not pairs of numbers"),
        (labelme({**shape("Road", SQUARE), "points": None}), "points that are not pairs of numbers"),
        (labelme({"label": "Road"}), "shape 1 of 1 has no label or no points"),
        (labelme({"points": SQUARE}), "shape 1 of 1 has no label or no points"),
        (labelme(shape("Road", SQUARE[:2], "mask")), "is a mask, but its PNG cannot be read"),
        (labelme({**shape("Road", SQUARE[:2], "mask"), "mask": "aGk="}), "is a mask, but its PNG cannot be read"),
        (labelme({**shape("Road", SQUARE[:2], "mask"), "mask": "no base64!"}), "is a mask, but its PNG cannot be read"),
        # COCO
        (coco([]), "annotation 1 of a.jpg has no segmentation, only a box or points"),
        (
            coco(FLAT, annotations=[{"id": 7, "image_id": 1, "category_id": 2, "bbox": [0, 0, 3, 3]}]),
            "annotation 7 .* box",
        ),
        (coco([[0, 0, 4, 0]]), "a polygon that is not a list x, y, .* at least three points"),
        (coco([[0, 0, 4, 0, 4, 4, 1]]), "a polygon that is not a list x, y"),
        (coco([0, 0, 4, 0, 4, 4]), "a polygon that is not a list x, y"),
        (coco([[0, 0, 4, 0, 4, math.nan]]), r"has a point at \(4, nan\)"),
        (coco("abc"), "neither a list of polygons nor run lengths"),
        (coco({"counts": [90, 5], "size": [8, 12]}), "do not add up to the 12 x 8 pixels"),
        (coco({"counts": [100, -4], "size": [8, 12]}), "do not add up"),
        (coco({"counts": "", "size": [8, 12]}), "do not add up"),
        (
            coco({"counts": [96], "size": [12, 8]}),
            r"for a size \[height, width\] of \[12, 8\], but its image has \[8, 12\]",
        ),
        (coco({"counts": "0n", "size": [8, 12]}), "broken compressed run lengths"),
        (coco({"counts": "é", "size": [8, 12]}), "broken compressed run lengths"),
        (coco(FLAT, categories=[{"id": 1, "name": "Road"}]), "the category_id 2, which is not among the categories"),
        (coco(FLAT, categories=[{"id": 2, "name": "Raod"}]), "the class 'Raod', .* the closest is 'Road'"),
        (coco(FLAT, categories=[{"id": "2"}]), "has no id .* or no name"),
        (coco(FLAT, categories=[{"id": 2, "name": "A"}, {"id": 2, "name": "B"}]), "'A' and 'B' share the id 2"),
        (coco(FLAT, images={}), "images is not a list of entries"),
        (coco(FLAT, images=[]), "annotation 1 has the image_id 1, which is not among the images"),
        (coco(FLAT, images=[{"id": 1}]), "has the id 1 and the file_name None"),
        (coco(FLAT, images=[{"id": 1, "file_name": "a.png"}]), "the image a.png has width None and height None"),
        (coco(FLAT, images=[{"id": 1, "file_name": name} for name in "ab"]), "the images a and b have the same id"),
        (
            coco(runs(np.eye(8, 12) > 0), images=[{"id": 1, "file_name": "a.png", "width": 6, "height": 4}]),
            "run lengths",
        ),
        (
            coco(FLAT, images=[{"id": 1, "file_name": "a.png", "width": 6, "height": 4}]),
            r"a.json \(photo a.png\) is 6 x 4 pixels, its photo 12 x 8",
        ),
    ],
)
def test_bad_json_is_one_message(tmp_path, write, message):
    path = tmp_path / "labels" / "a.json"
    path.parent.mkdir()
    write(path)
    (problem,) = complaints(path.parent)
    assert str(path) in problem
    with pytest.raises(UserError, match=message):
        raise UserError(problem)


def test_all_of_a_file_is_told_at_once(tmp_path):
    shapes = [shape("Road", SQUARE), shape("Xyz", SQUARE[:2]), shape("Road", SQUARE, "blob"), {"label": 3}]
    write_labelme(tmp_path / "labels" / "a.json", shapes, imageWidth=None)
    write_coco(tmp_path / "labels" / "all.json", {"b.jpg": [(0, []), (1, FLAT), (2, [[0, 0, 1, 1]])]})
    problems = complaints(tmp_path / "labels", ("a", "b"))
    expected = [
        "imageWidth",
        "shape 2 of 4",
        "shape 2 of 4",
        "shape 3 of 4",
        "shape 4 of 4",
        "annotation 1",
        "annotation 3",
    ]
    assert len(problems) == len(expected)
    for problem, part in zip(problems, expected, strict=True):
        assert part in problem


def voc(entries, color=ROAD, **more):
    def write(folder):
        write_labelmap(folder, entries)
        image = np.full((HEIGHT, WIDTH, 3), ROAD, dtype=np.uint8)
        image[2, 3:5] = color
        save_image(folder / "SegmentationClass" / "a.png", image)
        for name, lines in more.items():
            (folder / f"{name}.txt").write_text(lines)

    return write


def without(name):
    def write(folder):
        voc({"Road": ROAD})(folder)
        (folder / name).rename(folder.parent / "elsewhere")

    return write


def grey_indices(folder):
    voc({"Road": ROAD})(folder)
    save_image(folder / "SegmentationClass" / "a.png", np.ones((HEIGHT, WIDTH), dtype=np.uint8))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (voc({"Road": ROAD}, (1, 2, 3)), r"a.png: 2 pixels, the first at row 2, column 3, hold the color \(1, 2, 3\)"),
        (voc({"Road": ROAD}, ROAD[::-1][:2] + (9,)), "labelmap.txt does not name. Export the labels again"),
        (
            voc({"Road": ROAD, "Rode": (1, 2, 3)}, (1, 2, 3)),
            "a.png: the color .* of 2 pixels .*'Rode'.* the closest is 'Road'",
        ),
        (
            voc({"Road": ROAD, "Path": ROAD}),
            r"labelmap.txt: Classes 0 \('Road'\) and 1 \('Path'\) have the same color",
        ),
        (voc({}, labelmap="Road:1,2\nB"), "labelmap.txt, line 1: 'Road:1,2' is not of the form name:red,green,blue"),
        (voc({}, labelmap="Road:::\n"), "line 1: 'Road:::' is not of the form"),
        (voc({}, labelmap="Road:1,2,300::\n"), "'Road' has the color .*0 to 255"),
        (without("labelmap.txt"), "SegmentationClass exists, but .*labelmap.txt is missing"),
        (without("SegmentationClass"), "labelmap.txt exists, but the label images"),
        (grey_indices, r"96 pixels, .* hold the color \(1, 1, 1\)"),
    ],
)
def test_bad_voc_export(tmp_path, write, message):
    write(tmp_path / "labels")
    with pytest.raises(UserError, match=message):
        raise UserError(complaints(tmp_path / "labels")[0])


def test_labels_that_name_no_class_or_too_many(tmp_path):
    folder = tmp_path / "labels"
    write_labelme(folder / "a.json", [shape("__ignore__", SQUARE)])
    (problem,) = complaints(folder, classes=False)
    assert 'a.json, name no class: everything in them says "not labelled"' in problem
    write_labelme(folder / "a.json", [shape(f"class {k}", SQUARE) for k in range(256)])
    (problem,) = complaints(folder, classes=False)
    assert "256 classes; 8-bit labels allow 255" in problem and "a.json" in problem
    assert json.loads((folder / "a.json").read_text())["shapes"]
