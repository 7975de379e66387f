"""Files that look like labels but are none that can be read, and names that only look different."""

import json
from unicodedata import normalize

import numpy as np
import pytest
from helpers.label_files import shape, write_coco, write_json, write_labelmap, write_labelme
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, save_image

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.find import find_labels, open_label

STEMS = ["DJI_0030", "DJI_0031", "DJI_0031_2"]
FLAT = [[0, 0, 4, 0, 4, 4]]
SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]
COMPOSED, DECOMPOSED = (normalize(form, "Größe é") for form in ("NFC", "NFD"))


def image(path):
    save_image(path, label_array(1))


def text(content):
    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return write


def voc(path):
    write_labelmap(path.parent, {"Road": (128, 64, 128)})
    save_image(path.parent / "SegmentationClass" / "DJI_0031.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("DJI_0031.tif", image, "not a PNG: save it as PNG"),
        ("DJI_0031.TIFF", image, "not a PNG: save it as PNG"),
        ("DJI_0031.bmp", image, "not a PNG: save it as PNG"),
        ("DJI_0031.gif", image, "not a PNG: save it as PNG"),
        ("DJI_0031.webp", image, "not a PNG: save it as PNG"),
        ("export.zip", text("PK"), "is packed: unpack it into .*labels,"),
        ("DJI_0031.xml", text("<annotation>\n<folder/>"), "as XML .* export them as COCO"),
        ("annotations.xml", text('<?xml version="1.0"?>\n<annotations>'), "as XML .* export them as COCO"),
        ("task_1/DJI_0031.png", image, "lie directly in .*labels. Move the content of .*task_1 there"),
        ("task_1/part 2/DJI_0031.png", image, "Move the content of .*part 2 there"),
        (
            "task_1/a.json",
            lambda path: write_labelme(path, [shape("Road", SQUARE)]),
            "Move the content of .*task_1 there",
        ),
        (
            "train/_annotations.coco.json",
            lambda path: write_coco(path, {"DJI_0031.jpg": [(1, FLAT)]}),
            "content of .*train there",
        ),
        (
            "task_1/annotations/instances.json",
            lambda path: write_coco(path, {"DJI_0031.jpg": [(1, FLAT)]}),
            "Move the content of .*task_1 there",
        ),
        ("task_1/labelmap.txt", voc, "task_1/labelmap.txt is not read: .* Move the content of .*task_1 there"),
    ],
)
def test_a_label_that_would_not_be_read_is_refused(tmp_path, name, write, message):
    folder = tmp_path / "labels"
    image(folder / "DJI_0030.png")
    assert find_labels(folder, STEMS)[0] is not None
    write(folder / name)
    with pytest.raises(UserError, match=message) as caught:
        find_labels(folder, STEMS)
    assert len(caught.value.problems) == 1 and str(folder / name) in str(caught.value)


def test_all_that_is_overlooked_is_told_at_once(tmp_path):
    for name in ("DJI_0030.tif", "a/DJI_0031.png", "a/DJI_0030.png", "b/DJI_0031.png"):
        image(tmp_path / name)
    text("PK")(tmp_path / "export.zip")
    with pytest.raises(UserError) as caught:
        find_labels(tmp_path, STEMS)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("legend.tif", image),
        ("DJI_0031.xml", text("<xmpmeta/>")),
        (".cache/DJI_0031.png", image),
        ("SegmentationObject/DJI_0031.png", image),
        ("images/default/DJI_0031.png", image),
        ("notes/settings.json", lambda path: write_json(path, {"frames": []})),
        ("notes/broken.json", text("{")),
        ("a/b/c/DJI_0031.png", image),
    ],
)
def test_what_is_no_label_may_lie_there(tmp_path, name, write):
    image(tmp_path / "DJI_0030.png")
    write(tmp_path / name)
    assert [label is None for label in find_labels(tmp_path, STEMS)] == [False, True, True]


def test_images_beside_labelme_are_those_drawn_on(tmp_path):
    write_labelme(tmp_path / "DJI_0030.json", [shape("Road", SQUARE)])
    image(tmp_path / "DJI_0030.tif")
    assert find_labels(tmp_path, STEMS)[0] is not None


def test_photos_in_the_label_folder_and_below_it_are_no_labels(tmp_path):
    beside = [tmp_path / "beside" / f"{stem}.tif" for stem in STEMS]
    below = [tmp_path / "above" / "photos" / f"{stem}.png" for stem in STEMS]
    for path in (*beside, beside[0].with_suffix(".gif"), *below, tmp_path / "beside" / "half" / "DJI_0030.png"):
        image(path)
    text("PK")(tmp_path / "beside" / "photos.zip")
    assert find_labels(tmp_path / "beside", STEMS, beside) == [None] * 3
    assert find_labels(tmp_path / "above", STEMS, below) == [None] * 3
    write_labelme(tmp_path / "beside" / "json" / "DJI_0030.json", [shape("Road", SQUARE)])
    with pytest.raises(UserError, match="Move the content of .*json there"):
        find_labels(tmp_path / "beside", STEMS, beside)


# Names


def test_names_in_either_unicode_form_are_the_same(tmp_path):
    assert COMPOSED != DECOMPOSED
    for number, (stem, other) in enumerate([(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]):
        folder = tmp_path / str(number)
        image(folder / "png" / f"{other}.png")
        (label,) = find_labels(folder / "png", [stem])
        assert label.path.name == f"{other}.png" and label == open_label(label.path, stem)
        coco = write_coco(folder / "coco" / "all.json", {f"{other}.jpg": [(1, FLAT)], "b.jpg": [(1, FLAT)]})
        assert find_labels(coco.parent, [stem, "b"])[0].file_name == f"{other}.jpg"
        assert open_label(coco, stem).file_name == f"{other}.jpg"
        image(folder / "own" / f"{stem}.jpg")
        image(folder / "own" / f"{other}.png")
        assert find_labels(folder / "own", [stem], [folder / "own" / f"{stem}.jpg"])[0].path.suffix == ".png"
        image(folder / "tif" / f"{other}.tif")
        with pytest.raises(UserError, match="save it as PNG"):
            find_labels(folder / "tif", [stem])


def test_a_photo_that_an_export_renamed_is_recognised(tmp_path):
    write_coco(tmp_path / "coco" / "a.json", {"DJI_0031_jpg.rf.0a1b2c.jpg": [(1, FLAT)]})
    with pytest.raises(UserError, match="rename the photo DJI_0031[?] .*: rename file_name in it back"):
        find_labels(tmp_path / "coco", STEMS)
    image(tmp_path / "png" / "DJI_0031_2-mask.png")
    with pytest.raises(UserError, match="rename the photo DJI_0031_2[?] .*: rename it back"):
        find_labels(tmp_path / "png", STEMS)
    image(tmp_path / "other" / "DJI_00312.png")
    with pytest.raises(UserError, match="Rename it, or move it out") as caught:
        find_labels(tmp_path / "other", STEMS)
    assert "Did the export" not in str(caught.value)


# JSONs of other programs


def test_sizes_may_be_whole_floats(tmp_path):
    size = {"width": float(WIDTH), "height": float(HEIGHT)}
    coco = write_coco(tmp_path / "a.json", {"a.jpg": [(1, FLAT)]}, images=[{"id": 1, "file_name": "a.jpg", **size}])
    assert open_label(coco, "a").read(TABLE).shape == (HEIGHT, WIDTH)
    labelme = write_labelme(tmp_path / "b.json", [shape("Road", SQUARE)], imageWidth=float(WIDTH))
    assert open_label(labelme, "b").read(TABLE).shape == (HEIGHT, WIDTH)
    for wrong in (12.5, float("nan"), float("inf"), "12"):
        write_labelme(tmp_path / "b.json", [shape("Road", SQUARE)], imageWidth=wrong)
        with pytest.raises(UserError, match="expected the photo's size"):
            open_label(labelme, "b").read(TABLE)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = write_labelme(tmp_path / "a.json", [shape("Road", SQUARE)])
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert (open_label(path, "a").read(TABLE) == 1).sum() == 16
