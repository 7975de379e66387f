"""`nerfseg labels-from-map`: what is read of a drawing, which pixels get it, and the files that a training takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import score_drawn
import shapely
import torch
from helpers.drawings import NOWHERE, write_drawing
from helpers.maps import grid_of
from helpers.true_map import draw_true_map
from PIL import Image

from nerfseg_ns.check.config import CheckConfig
from nerfseg_ns.check.run import check_scene
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import Georeference
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.map_frame import GeoMapFrame, LocalMapFrame
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.drawn import run as drawn_run
from nerfseg_ns.maps.drawn.classes import find_classes
from nerfseg_ns.maps.drawn.config import DrawnConfig
from nerfseg_ns.maps.drawn.features import read_features
from nerfseg_ns.maps.drawn.label_files import LabelFolder
from nerfseg_ns.maps.drawn.run import run_labels_from_map
from nerfseg_ns.maps.drawn.shapes import count_overlaps, make_shapes
from nerfseg_ns.maps.drawn.sheet import Sheet
from nerfseg_ns.maps.drawn.sightings import Sighting, choose_photos
from nerfseg_ns.maps.extent import find_extent
from nerfseg_ns.maps.surface import Surface

TABLE = ClassTable(("Road", "Tree", "Roof"), ((128, 64, 128), (10, 100, 20), (200, 30, 30)))
LOCAL = LocalMapFrame(np.eye(3), 1.0)
HERE = GeoMapFrame(Georeference(LocalFrame(47.05, 8.3, 440.0), np.eye(4)[:3], 1.0))
SQUARE = shapely.box(12, 12, 20, 20)


def square_at(x: float, y: float, side: float = 4.0) -> shapely.Polygon:
    return shapely.box(x, y, x + side, y + side)


def shapes_of(path: Path, frame=LOCAL, stroke: float = 1.0):
    features = read_features(path)
    return make_shapes(features, find_classes(features, TABLE).classes, frame, stroke)


# what is read


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_every_form_in_any_coordinate_system_lies_in_the_same_place(tmp_path, suffix):
    middle = HERE.from_scene(np.zeros((1, 3)))[0, :2]
    square = square_at(*middle)
    expected = [square, square_at(*middle + 9)]
    systems = ["EPSG:32632", "EPSG:4326", "EPSG:2056", "EPSG:3857", None]
    for system in ["EPSG:4326", None] if suffix == ".geojson" else systems:
        drawn = np.array(expected, dtype=object)
        if system is not None:
            import pyproj

            change = pyproj.Transformer.from_crs("EPSG:32632", system, always_xy=True)
            drawn = shapely.transform(drawn, lambda xy, change=change: np.column_stack(change.transform(*xy.T)))
        elif suffix == ".geojson":
            continue  # without a system it is in degrees
        path = write_drawing(tmp_path / f"{(system or 'none').replace(':', '')}{suffix}", list(drawn), system,
                             **{"Class": ["Road", "Roof"]})  # fmt: skip
        shapes = shapes_of(path, HERE)
        assert shapes.classes.tolist() == [0, 2] and not shapes.strokes.any()
        for found, wanted in zip(shapes.areas, expected):
            assert found.symmetric_difference(wanted).area < 0.05 * wanted.area, system


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"class": ["Road", "Tree"]}, [0, 1]),
        ({"id": [7, 8], "LABEL": ["Tree", "Roof"]}, [1, 2]),
        ({"name": ["my first", "my second"], "category": ["Roof", "Road"]}, [2, 0]),
        ({"class_index": [1, 2]}, [1, 2]),
        ({"class": ["Road", "Tree"], "class_index": [0, 1], "area": [3.5, 2.0]}, [0, 1]),
        ({"class": ["2", "0"]}, [2, 0]),
        ({"Class ID": [1.0, float("nan")]}, [1, -1]),
        ({"class": ["Road", None]}, [0, -1]),
        ({"class": ["Road", "__ignore__"]}, [0, IGNORE_INDEX]),
    ],
)
def test_the_field_of_the_classes_is_found(tmp_path, fields, expected):
    path = write_drawing(tmp_path / "drawn.gpkg", [SQUARE, SQUARE], **fields)
    assert find_classes(read_features(path), TABLE).classes.tolist() == expected


def test_shapes_of_all_kinds(tmp_path):
    ring = shapely.box(0, 0, 10, 10).difference(shapely.box(2, 2, 8, 8))
    drawn = {
        "a polygon with a hole": (ring, 64.0),
        "several polygons": (shapely.MultiPolygon([square_at(20, 0), square_at(30, 0)]), 32.0),
        "one with heights": (shapely.force_3d(square_at(40, 0), 99.0), 16.0),
        "a bow tie": (shapely.Polygon([(50, 0), (54, 4), (54, 0), (50, 4)]), 8.0),
        "a line": (shapely.LineString([(60, 0), (70, 0)]), 10 * 0.5 + np.pi * 0.25**2),
        "points": (shapely.MultiPoint([(80, 0), (85, 0)]), 2 * np.pi * 0.25**2),
        "nothing": (None, None),
        "an empty one": (shapely.Polygon(), None),
        "one without a class": (SQUARE, None),
    }
    names = [None if name == "one without a class" else "Road" for name in drawn]
    path = write_drawing(tmp_path / "drawn.gpkg", [shape for shape, _ in drawn.values()], **{"class": names})
    shapes = shapes_of(path, stroke=0.5)
    assert shapely.area(shapes.areas) == pytest.approx([area for _, area in drawn.values() if area], rel=0.02)
    assert shapely.is_valid(shapes.areas).all() and shapes.strokes.tolist() == [False] * 4 + [True] * 2
    assert dict(shapes.notes) == {"without a shape": 2, "without a class": 1, "mended (they crossed themselves)": 1}
    assert shapes.numbers.tolist() == [1, 2, 3, 4, 5, 6]


def test_what_is_drawn_later_lies_on_top(tmp_path):
    drawn = [shapely.box(12, 12, 28, 28), shapely.box(20, 12, 36, 28), square_at(14, 14), square_at(15, 20, 2)]
    path = write_drawing(tmp_path / "d.gpkg", drawn, **{"class": ["Road", "Roof", "ignore", "Road"]})
    shapes = shapes_of(path)
    assert count_overlaps(shapes, 0.1) == 2  # the roof and what erases; the last one is of the class below it
    sheet = Sheet.draw(shapes, grid_of(), 0.5, margin=0)
    places = np.array([[13.5, 13.5], [15, 15], [16, 21], [24, 20], [35, 20], [37, 20], [11, 11], [np.nan, 1], [99, 99]])
    assert sheet.classes_of(sheet.at(places)).tolist() == [0, 255, 0, 2, 2, 255, 255, 255, 255]


def test_borders_are_left_out_but_not_of_strokes(tmp_path):
    drawn = [shapely.box(12, 12, 20, 20), shapely.box(20, 12, 28, 20), shapely.LineString([(30, 14), (40, 14)])]
    path = write_drawing(tmp_path / "d.gpkg", drawn, **{"class": ["Road", "Roof", "Tree"]})
    sheet = Sheet.draw(shapes_of(path), grid_of(), 0.5, margin=2)
    xs = np.array([12.7, 13.3, 18.7, 19.3, 20.7, 21.3, 27.3])
    assert sheet.at(np.column_stack([xs, np.full(7, 16.0)])).tolist() == [0, 1, 1, 0, 0, 2, 0]
    assert sheet.at(np.array([[35, 14.4], [35, 14.0], [35, 14.6]])).tolist() == [3, 3, 0]
    alike = write_drawing(tmp_path / "alike.gpkg", drawn[:2], **{"class": ["Road", "Road"]})
    sheet = Sheet.draw(shapes_of(alike), grid_of(), 0.5, margin=2)
    assert (sheet.at(np.column_stack([[18.7, 19.3, 20.7], [16.0] * 3])) > 0).all()


def roof() -> Surface:
    """A flat roof of 8 units for x > 25 on flat ground."""
    grid = grid_of()
    x = grid.left + (torch.arange(grid.columns) + 0.5) * grid.resolution
    return Surface(grid, torch.where(x > 25, 8.0, 0.0).expand(grid.rows, -1).contiguous())


@pytest.mark.parametrize(
    "point, expected",
    [
        ((20, 20, 0.3), True),
        ((20, 20, 3.0), False),  # in the air
        ((30, 20, 8.4), True),
        ((30, 20, 4.0), False),  # under the roof
        ((25.1, 20, 4.0), False),  # on the wall
        ((24.9, 20, 8.0), True),  # at the edge both are true
        ((25.1, 20, 0.0), True),
        ((99, 20, 0.0), False),
        ((np.nan, np.nan, np.nan), False),
    ],
)
def test_walls_have_no_place_on_a_map(point, expected):
    assert roof().is_top(np.array([point], float), 1.0).tolist() == [expected]


def test_few_photos_that_see_most():
    """A field of 96 places, a car of 4: the photo that alone sees the car comes second, before more of the field."""
    numbers = np.array([1] * 96 + [2] * 4)
    field, more, car = np.arange(100) < 90, (np.arange(100) >= 50) & (np.arange(100) < 95), np.arange(100) >= 96
    sightings = [Sighting(view, sees, (0, 1, 0, 1)) for view, sees in enumerate([more, car, field, field])]
    assert [s.view for s in choose_photos(sightings, numbers, 2)] == [1, 2]
    assert [s.view for s in choose_photos(sightings, numbers, 9)] == [0, 1, 2]  # the last one adds nothing


# files


def test_only_what_it_wrote_itself_is_replaced(tmp_path):
    labels = np.array([[0, 1], [IGNORE_INDEX, 2]], np.uint8)
    first = LabelFolder(tmp_path / "labels", TABLE, overwrite=False)
    first.require_free(["a", "b"])
    kept = [first.write(stem, labels) for stem in ("a", "b")]
    again = LabelFolder(tmp_path / "labels", TABLE, overwrite=False)
    again.require_free(["a", "b"])
    assert again.remove_earlier() == 2 and not kept[0].exists() and not kept[1].exists()
    again.write("a", labels)
    corrected = np.asarray(Image.open(kept[0])).copy()
    corrected[0, 0] = 2
    with Image.open(kept[0]) as image:
        info = image.info  # a program may keep the text
    Image.fromarray(corrected).save(kept[0], pnginfo=None, **{k: v for k, v in info.items() if k == "dpi"})
    third = LabelFolder(tmp_path / "labels", TABLE, overwrite=False)
    with pytest.raises(UserError, match="has been changed since"):
        third.require_free(["a"])
    third.require_free(["c"])
    assert third.remove_earlier() == 0 and kept[0].exists()
    LabelFolder(tmp_path / "labels", TABLE, overwrite=True).require_free(["a"])


def test_unlabelled_pixels_are_written_as_the_scene_says(tmp_path):
    table = ClassTable(("Unlabeled", "Road"), ((0, 0, 0), (1, 1, 1)), file_ignore_index=0)
    path = LabelFolder(tmp_path, table, overwrite=False).write("a", np.array([[1, IGNORE_INDEX]], np.uint8))
    assert np.asarray(Image.open(path)).tolist() == [[1, 0]]
    with pytest.raises(UserError, match="ignore_index to 255"):
        LabelFolder(tmp_path, ClassTable(("Road",), ((1, 1, 1),), None), overwrite=False)


# whole runs


@pytest.fixture
def from_map(monkeypatch, fast_run, fast_pipeline, capsys, tmp_path) -> Callable[..., str]:
    """Runs the command's work on the shared run, which is loaded once; returns what it printed."""
    monkeypatch.setattr(drawn_run, "load_run", lambda _: fast_pipeline)

    def run(path: Path, scene: Path | None = None, **options) -> str:
        options = {"load_config": fast_run, "output_dir": tmp_path / "out", **options}
        run_labels_from_map(scene, DrawnConfig(path, **options))
        return " ".join(capsys.readouterr().out.split())

    return run


@pytest.fixture(scope="module")
def true_map(fast_pipeline, small_town, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.gpkg"
    draw_true_map(fast_pipeline, small_town, path)
    return path


def test_the_true_map_becomes_the_true_labels_of_the_photos(from_map, true_map, fast_pipeline, small_town, tmp_path):
    """And a map that is shifted does not; a barely trained run of 48 pixels (0.96, shifted 0.78)."""
    told = from_map(true_map, small_town)
    assert "16 photos are labelled" in told and "classes by the field class" in told
    truth = small_town / "truth" / "train" / "label"
    found = score_drawn.score(tmp_path / "out", truth, 12)
    assert found.inner_accuracy > 0.93 and found.share > 0.12, found
    features = read_features(true_map)
    shift = 8 * find_extent(fast_pipeline, None).distance
    moved = shapely.transform(features.geometries, lambda xy: xy + shift)
    write_drawing(tmp_path / "moved.gpkg", list(moved), **{"class": list(features.fields["class"])})
    from_map(tmp_path / "moved.gpkg", output_dir=tmp_path / "moved")
    assert score_drawn.score(tmp_path / "moved", truth, 12).inner_accuracy < found.inner_accuracy - 0.1


def test_a_training_takes_the_labels(from_map, true_map, small_town, tmp_path):
    scene = tmp_path / "scene"
    shutil.copytree(small_town, scene)
    told = from_map(true_map, output_dir=scene / "train" / "labels-from-map", photos=3)
    files = sorted((scene / "train" / "labels-from-map").iterdir())
    assert "3 photos are labelled" in told and len(files) == 3 and "none of the 3 photos sees any of it" in told
    check_scene(scene, CheckConfig(contact_sheet=None, label_folder="labels-from-map"))
    hand = [np.asarray(Image.open(path)) for path in sorted((scene / "train" / "label").glob("*.png"))]
    assert all(np.asarray(Image.open(path)).shape == hand[0].shape for path in files)
    assert drawn_run.default_folder(scene) == scene / "train" / "labels-from-map"


def test_the_command(ns, fast_run, fast_pipeline, small_town, tmp_path):
    """As a user calls it; a point in the middle of the town, off the map a polygon that no photo sees."""
    extent = find_extent(fast_pipeline, None)
    middle = np.median(extent.surface[:, :2], axis=0)
    drawn = [shapely.Point(middle).buffer(10 * extent.distance), shapely.Point(middle), square_at(90, 90)]
    path = write_drawing(tmp_path / "d.geojson", drawn, None, **{"class": ["Road", "Building", "Water"]})
    flags = ["--polygons", path, "--load-config", fast_run, "--output-dir", tmp_path / "out"]
    told = " ".join(ns("nerfseg", "labels-from-map", small_town, *flags).split())
    assert "1 of them lie on others of another class" in told
    assert "1 shape (3 Water): off the scene." in told
    values = set().union(*(np.unique(np.asarray(Image.open(p))) for p in (tmp_path / "out").iterdir()))
    assert values == {0, 8, IGNORE_INDEX}


# what cannot be used


def plain(tmp_path: Path, **change) -> Path:
    options = {"geometries": [SQUARE], "class": ["Road"], **change}
    return write_drawing(tmp_path / "drawn.gpkg", options.pop("geometries"), options.pop("crs", NOWHERE), **options)


def no_file(tmp_path):
    return tmp_path / "none.gpkg", {}


def no_vector_file(tmp_path):
    (tmp_path / "notes.gpkg").write_text("mine")
    return tmp_path / "notes.gpkg", {}


def no_features(tmp_path):
    return write_drawing(tmp_path / "drawn.gpkg", [], **{"class": []}), {}


def no_class_field(tmp_path):
    return write_drawing(tmp_path / "drawn.gpkg", [SQUARE], height=[3.5], owner=["me"]), {}


def no_such_field(tmp_path):
    return plain(tmp_path), {"field": "kind"}


def empty_field(tmp_path):
    return plain(tmp_path, **{"class": [None]}), {}


def unknown_classes(tmp_path):
    return plain(tmp_path, geometries=[SQUARE] * 3, **{"class": ["Rode", "Moon", "Road"]}), {}


def two_fields(tmp_path):
    return plain(tmp_path, geometries=[SQUARE] * 2, **{"class": ["Road", "Road"], "label": ["Road", "Wall"]}), {}


def elsewhere(tmp_path):
    return plain(tmp_path, geometries=[square_at(500_000, 5_000_000)]), {}


def on_the_earth(tmp_path):
    return plain(tmp_path, crs="EPSG:32632"), {}


def two_layers(tmp_path):
    write_drawing(tmp_path / "drawn.gpkg", [SQUARE], layer="first", **{"class": ["Road"]})
    return write_drawing(tmp_path / "drawn.gpkg", [SQUARE], layer="second", append=True, **{"class": ["Road"]}), {}


def no_such_layer(tmp_path):
    return plain(tmp_path), {"layer": "roads"}


def a_raster(tmp_path):
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "labels.tif")
    return tmp_path / "labels.tif", {}


def no_shapes(tmp_path):
    return plain(tmp_path, geometries=[shapely.Polygon(), None], **{"class": ["Road", "Road"]}), {}


def another_scene(tmp_path):
    (tmp_path / "other").mkdir()
    return plain(tmp_path), {"scene": tmp_path / "other"}


def no_run(tmp_path):
    return plain(tmp_path), {"load_config": tmp_path / "config.yml"}


def below_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    return plain(tmp_path), {"output_dir": tmp_path / "file" / "labels"}


def labels_of_another_form(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "0001.json").write_text("{}")
    return plain(tmp_path), {"output_dir": tmp_path / "labels"}


def odd_numbers(tmp_path):
    return plain(tmp_path), {"photos": -1, "stroke_width": 0.0, "margin": -1.0}


@pytest.mark.parametrize(
    "make, message",
    [
        (no_file, "There is no file .*none.gpkg"),
        (no_vector_file, "Cannot read .*notes.gpkg: .* Expected a GeoPackage, a GeoJSON or a Shapefile"),
        (no_features, "it has no features"),
        (no_class_field, r"it has height, owner. Name the one that holds the classes \(Building, Water"),
        (no_such_field, "There is no field kind in .*; it has class"),
        (empty_field, "The field class of .* is empty everywhere"),
        (unknown_classes, r"does not have: 'Rode' \(is 'Road' meant\?\), 'Moon'. It has Building, Water"),
        (two_fields, "The fields class and label of .* all hold classes, but other ones"),
        (elsewhere, "lies where the scene is: its middle is .* was taken for the map's: is that the one"),
        (on_the_earth, "is in WGS 84 / UTM zone 32N, but nobody knows where on the earth this scene is"),
        (two_layers, r"has 2 layers with geometries \(first, second\). Which one .* --layer"),
        (no_such_layer, "There is no layer roads with geometries in .*; it has: drawn"),
        (a_raster, "is a raster of 6 x 4 pixels; polygons are wanted"),
        (no_shapes, "has both a shape and a class"),
        (another_scene, "is of a run on .*, not on .*other"),
        (no_run, "Name the config.yml of a trained run"),
        (below_a_file, "Cannot write .*labels: .*file does not allow it"),
        (labels_of_another_form, "0001.json holds labels in another form"),
        (odd_numbers, "(?s)--photos is -1.*--stroke-width is 0.0.*--margin is -1.0"),
    ],
)
def test_drawings_that_cannot_be_used(from_map, make, message, tmp_path):
    path, options = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        from_map(path, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_labels_drawn_by_hand_are_not_lost(from_map, fast_pipeline, tmp_path):
    middle = np.median(find_extent(fast_pipeline, None).surface[:, :2], axis=0)
    path = write_drawing(tmp_path / "d.gpkg", [shapely.Point(middle).buffer(0.2)], **{"class": ["Road"]})
    (tmp_path / "out").mkdir()
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(tmp_path / "out" / "0003.png")
    before = (tmp_path / "out" / "0003.png").read_bytes()
    with pytest.raises(UserError, match="0003.png is there already .* nothing was written"):
        from_map(path)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["0003.png"]
    assert (tmp_path / "out" / "0003.png").read_bytes() == before
    assert "photos are labelled" in from_map(path, overwrite=True)
    assert (tmp_path / "out" / "0003.png").read_bytes() != before


def test_without_the_libraries(from_map, tmp_path, monkeypatch):
    path, find = plain(tmp_path), __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pyogrio" else find(name))
    with pytest.raises(UserError, match=r"nerfseg labels-from-map needs pyogrio: pip install 'nerfseg\[maps\]'"):
        from_map(path)


@pytest.mark.parametrize(
    "system, place, message",
    [
        (
            "EPSG:4326",
            (465_000, 5_210_000),
            r"said to be in WGS 84 \(degrees\), but its coordinates go up to 5,210,004",
        ),
        ("EPSG:3035", (1e12, 1e12), "holds coordinates that ETRS89-extended / LAEA Europe does not have"),
    ],
)
def test_coordinates_that_are_not_in_their_system(tmp_path, system, place, message):
    path = write_drawing(tmp_path / "d.gpkg", [square_at(*place)], system, **{"class": ["Road"]})
    with pytest.raises(UserError, match=message):
        shapes_of(path, HERE)


def test_a_geojson_in_metres(tmp_path):
    path = write_drawing(tmp_path / "d.geojson", [square_at(465_000, 5_210_000)], None, **{"class": ["Road"]})
    with pytest.raises(UserError, match="A GeoJSON that says nothing else is in degrees"):
        shapes_of(path, HERE)
    assert len(shapes_of(path)) == 1  # of a scene that is nowhere, they are the map's
