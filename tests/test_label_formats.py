"""The same labels in the files of every labelling program read the same."""

import json
import shutil

import numpy as np
import pytest
from helpers import label_files
from helpers.label_files import shape, sparse_labels, write_coco, write_labelmap, write_labelme
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, noise, save_image, write_tree
from PIL import Image

from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.coco import CocoLabel
from nerfseg_ns.labels.colors import distinct_colors
from nerfseg_ns.labels.find import find_labels, open_label
from nerfseg_ns.labels.label_maps import count_pixels, resolve_labels
from nerfseg_ns.labels.labelme import LabelMeLabel
from nerfseg_ns.labels.palettes import PALETTES
from nerfseg_ns.labels.voc import VocLabel

SIZE = (WIDTH, HEIGHT)
STEMS = ["IMG_0001", "Föhr 2 é.b", "not labelled"]
FORMS = {
    "voc_rgb": VocLabel,
    "voc_palette": VocLabel,
    "labelme_polygons": LabelMeLabel,
    "labelme_masks": LabelMeLabel,
    "coco_polygons": CocoLabel,
    "coco_runs": CocoLabel,
    "coco_compressed": CocoLabel,
}


def read_all(folder, stems=STEMS, classes=TABLE, palette="auto", **options):
    """The class table and the label maps of a folder, None for photos without."""
    if classes is not None:
        classes.save(folder.parent / "classes.json")
    found = find_labels(folder, stems, **options)
    table, labels = resolve_labels(found, [SIZE] * len(stems), folder.parent / "classes.json", palette)
    return table, [label and label.read(table) for label in labels]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same(tmp_path, form):
    maps = {stem: sparse_labels(seed) for seed, stem in enumerate(STEMS[:2])}
    getattr(label_files, form)(tmp_path / "labels", maps)
    for name in (".DS_Store", "Thumbs.db", "README.txt", "IMG_0001.xml"):
        (tmp_path / "labels" / name).write_bytes(b"\0")
    found = find_labels(tmp_path / "labels", STEMS)
    assert [type(label) for label in found] == [FORMS[form], FORMS[form], type(None)]
    _, read = read_all(tmp_path / "labels")
    for stem, labels in zip(STEMS[:2], read[:2], strict=True):
        assert labels.dtype == np.uint8 and np.array_equal(labels, maps[stem]), (form, stem)
    # What has no class in the scene's table is an error, not another class.
    with pytest.raises(UserError, match="'Vegetation', which is not in the class table; it has 'Building', 'Road'"):
        read_all(tmp_path / "labels", classes=ClassTable(TABLE.names[:2], TABLE.colors[:2]))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_its_own_classes(tmp_path, form):
    """Sorted names from CVAT's labelmap and from LabelMe, ids from COCO, never the background."""
    table = ClassTable(("Water", "Road", "Ash tree"), TABLE.colors)
    maps = {stem: sparse_labels(seed) for seed, stem in enumerate(STEMS[:2])}
    write = getattr(label_files, form)
    write(tmp_path / "labels", maps) if form.startswith("coco") else write(tmp_path / "labels", maps, table)
    own, read = read_all(tmp_path / "labels", classes=None)
    expected = TABLE.names if form.startswith("coco") else ("Ash tree", "Road", "Water")
    assert own.names == expected
    assert own.colors == (table.colors[::-1] if form.startswith("voc") else distinct_colors(3))
    order = [0, 1, 2] if form.startswith("coco") else [2, 1, 0]
    for labels, stem in zip(read, STEMS[:2]):
        lookup = np.array([*order, *[IGNORE_INDEX] * 253], dtype=np.uint8)
        assert np.array_equal(labels, lookup[maps[stem]])


@pytest.mark.parametrize("form", ["voc_rgb", "labelme_polygons", "coco_compressed"])
def test_a_scene_trains_on_labels_of_any_form(tmp_path, form):
    scene = write_tree(tmp_path / "scene")
    maps = {"train": {"0001": sparse_labels(1), "0002": sparse_labels(2)}, "test": {"0006": sparse_labels(6)}}
    for split, split_maps in maps.items():
        shutil.rmtree(scene / split / "label")
        getattr(label_files, form)(scene / split / "label", split_maps)
    parser = CarlaMVSDataParserConfig(data=scene).setup()
    semantics = parser.get_dataparser_outputs("train").metadata["semantics"]
    assert semantics.classes == list(TABLE.names) and semantics.labelled == (1, 2)
    for index, stem in ((1, "0001"), (2, "0002")):
        assert np.array_equal(semantics.read(index, HEIGHT, WIDTH)[..., 0].numpy(), maps["train"][stem])
    assert (semantics.read(0, HEIGHT, WIDTH) == IGNORE_INDEX).all()
    assert parser.get_dataparser_outputs("test").metadata["semantics"].labelled == (0,)


# Which files are labels


def test_labelme_files_beside_the_photos(tmp_path):
    """PNG photos and such that the scene does not use are no labels; sparse shapes are, and the PNG of a JPEG."""
    folder = tmp_path / "images"
    for stem in ("a", "b", "unused"):
        save_image(folder / f"{stem}.png", noise(0))
    save_image(folder / "unused_too.jpg", noise(0))
    write_labelme(folder / "b.json", [shape("Road", [(1, 2), (4, 5)], "rectangle")])
    photos = [folder / "a.png", folder / "b.png"]
    _, (first, second) = read_all(folder, ["a", "b"], photos=photos)
    expected = np.full((HEIGHT, WIDTH), IGNORE_INDEX)
    expected[2:5, 1:4] = 1
    assert first is None and np.array_equal(second, expected)
    save_image(folder / "c.jpg", noise(0))
    save_image(folder / "c.png", label_array(0))
    _, read = read_all(folder, ["a", "b", "c"], photos=[*photos, folder / "c.jpg"])
    assert np.array_equal(read[2], label_array(0))


def test_jpegs_beside_jsons_are_what_was_drawn_on(tmp_path):
    save_image(tmp_path / "labels" / "a.jpg", noise(0))
    with pytest.raises(UserError, match="a.jpg is a JPEG"):
        find_labels(tmp_path / "labels", ["a"])
    write_labelme(tmp_path / "labels" / "a.json", [shape("Road", [(1, 2)], "point")])
    assert [type(label) for label in find_labels(tmp_path / "labels", ["a"])] == [LabelMeLabel]


def test_what_holds_no_shapes_is_an_unlabelled_view(tmp_path):
    """CVAT lists all photos of a task; LabelMe saves a file for a photo that was only looked at."""
    triangle = [[0, 0, 4, 0, 0, 4]]
    write_coco(tmp_path / "labels" / "a.json", {"a.jpg": [(1, triangle)], "b.jpg": [], "not in the scene.jpg": []})
    write_labelme(tmp_path / "labels" / "c.json", [])
    assert [label is None for label in find_labels(tmp_path / "labels", ["a", "b", "c"])] == [False, True, True]


def test_labels_of_no_photo_and_of_two(tmp_path):
    folder = tmp_path / "labels"
    save_image(folder / "a.png", label_array(0))
    write_labelme(folder / "a.json", [shape("Road", [(1, 2)], "point")])
    write_coco(folder / "all.json", {"b.jpg": [(1, [[0, 0, 4, 0, 0, 4]])], "x/b.jpg": [(0, [[0, 0, 4, 0, 0, 4]])]})
    write_coco(folder / "annotations" / "more.json", {"z.jpg": [(1, [[0, 0, 4, 0, 0, 4]])]})
    with pytest.raises(UserError) as caught:
        find_labels(folder, ["a", "b"])
    first, second, third = caught.value.problems
    assert "The photo a has two labels" in first and "a.json" in first and "a.png" in first
    assert "all.json (photo b.jpg) and " in second and "(photo x/b.jpg)" in second
    assert "more.json (photo z.jpg) belongs to no photo" in third


def test_a_label_that_the_scene_names(tmp_path):
    triangle = [(1, [[0, 0, 4, 0, 0, 4]])]
    several = write_coco(tmp_path / "coco.json", {"a.jpg": triangle, "b.jpg": triangle})
    single = write_labelme(tmp_path / "my strokes.json", [shape("Road", [(1, 2)], "point")])
    label_files.voc_rgb(tmp_path / "voc", {"a": label_array(0)})
    assert open_label(several, "b").file_name == "b.jpg"
    assert open_label(single, "a") == LabelMeLabel(single, {})
    assert type(open_label(tmp_path / "voc" / "SegmentationClass" / "frames" / "a.png", "a")) is VocLabel
    one = write_coco(tmp_path / "one.json", {"other.jpg": triangle})
    for path in (several, one):  # a single photo's annotations are not those of any photo
        with pytest.raises(UserError, match="holds no labels of the photo c"):
            open_label(path, "c")


def test_a_large_file_is_parsed_once(tmp_path, monkeypatch):
    path = write_coco(tmp_path / "labels" / "a.json", {f"{k}.jpg": [(k % 3, [[0, 0, 4, 0, 0, 4]])] for k in range(20)})
    parsed, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    stems = [str(k) for k in range(20)]
    labels = find_labels(path.parent, stems)
    assert [open_label(path, stem) for stem in stems] == labels and len(parsed) == 1
    table, labels = resolve_labels(labels, [SIZE] * 20, tmp_path / "classes.json")
    assert count_pixels(labels, table).argmax(axis=1).tolist() == [IGNORE_INDEX] * 20 and len(parsed) == 1
    write_coco(path, {"0.jpg": [(0, [[0, 0, 4, 0, 0, 4]])]})
    assert [label is None for label in find_labels(path.parent, ["0", "1"])] == [False, True]


def test_forms_mix_where_the_classes_are_known(tmp_path):
    save_image(tmp_path / "labels" / "a.png", label_array(0))
    write_labelme(tmp_path / "labels" / "b.json", [shape("Road", [(0, 0), (WIDTH, HEIGHT)], "rectangle")])
    with pytest.raises(UserError, match="a.png and .*b.json are labels of different forms"):
        read_all(tmp_path / "labels", ["a", "b"], classes=None)
    _, (first, second) = read_all(tmp_path / "labels", ["a", "b"])
    assert np.array_equal(first, label_array(0)) and (second == 1).all()


def test_a_built_in_palette_gives_names_their_places(tmp_path):
    write_labelme(tmp_path / "labels" / "a.json", [shape("Road", [(0, 0), (WIDTH, HEIGHT)], "rectangle")])
    table, (labels,) = read_all(tmp_path / "labels", ["a"], classes=None, palette="carla-newer")
    assert table == PALETTES["carla-newer"] and (labels == 1).all()


# Names and colors


def test_names_that_say_not_labelled(tmp_path):
    whole = [(0, 0), (WIDTH, HEIGHT)]
    for name in ("__ignore__", "_background_", "Unlabeled", "void"):
        write_labelme(
            tmp_path / "labels" / "a.json", [shape("Road", whole, "rectangle"), shape(name, whole, "rectangle")]
        )
        table, (labels,) = read_all(tmp_path / "labels", ["a"], classes=None)
        assert table.names == ("Road",) and (labels == IGNORE_INDEX).all()
        named = ClassTable(("Road", name), ((1, 1, 1), (2, 2, 2)))
        assert (read_all(tmp_path / "labels", ["a"], classes=named)[1][0] == 1).all()
        stands_for_it = ClassTable(named.names, named.colors, 1)
        assert (read_all(tmp_path / "labels", ["a"], classes=stands_for_it)[1][0] == IGNORE_INDEX).all()
        (tmp_path / "classes.json").unlink()


def test_voc_background_and_borders_are_not_labelled(tmp_path):
    """Classic VOC: palette, black background, whitish borders. CVAT's background is a class only if that is said."""
    write_labelmap(tmp_path / "labels", {"Road": (128, 64, 128), "background": (0, 0, 0), "Boat": (0, 0, 128)})
    image = Image.fromarray(np.repeat(np.array([[0, 7, 255, 1]], np.uint8), 3, axis=1).repeat(HEIGHT, axis=0))
    palette = np.zeros((256, 3), np.uint8)
    palette[[7, 255, 1]] = (128, 64, 128), (224, 224, 192), (0, 0, 128)
    image.putpalette(palette.ravel().tolist())
    (tmp_path / "labels" / "SegmentationClass").mkdir()
    image.save(tmp_path / "labels" / "SegmentationClass" / "a.png")
    table, (labels,) = read_all(tmp_path / "labels", ["a"], classes=None)
    assert table.names == ("Road", "Boat") and table.colors == ((128, 64, 128), (0, 0, 128))
    assert labels[0].tolist() == np.repeat([IGNORE_INDEX, 0, IGNORE_INDEX, 1], 3).tolist()
    named = ClassTable(("Boat", "background", "Road"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    _, (labels,) = read_all(tmp_path / "labels", ["a"], classes=named)
    assert labels[0].tolist() == np.repeat([1, 2, IGNORE_INDEX, 0], 3).tolist()


def test_classes_of_a_labelmap_that_nobody_drew_need_no_place_in_the_table(tmp_path):
    write_labelmap(tmp_path / "labels", {"Road": (128, 64, 128), "Roof": (1, 2, 3)})
    save_image(
        tmp_path / "labels" / "SegmentationClass" / "a.png", np.full((HEIGHT, WIDTH, 3), (128, 64, 128), np.uint8)
    )
    assert (read_all(tmp_path / "labels", ["a"])[1][0] == 1).all()


def test_made_up_colors_are_told_apart():
    from skimage.color import rgb2lab

    colors = distinct_colors(255)
    assert len(set(colors)) == 255 and distinct_colors(12) == colors[:12]
    seen = rgb2lab(np.array([*colors[:30], (0, 0, 0), (255, 255, 255)]) / 255)
    distances = np.linalg.norm(seen[:, None] - seen, axis=-1) + 1000 * np.eye(len(seen))
    assert distances[:12, :12].min() > 45 and distances.min() > 20
