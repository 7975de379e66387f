"""The files of `nerfseg map`, read back by libraries that did not write them."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import laspy
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import rasterio.features
import shapely
import torch
import trimesh
from helpers.maps import TABLE, georeference, grid_of
from PIL import Image

from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.map_frame import GeoMapFrame
from nerfseg_ns.geo.quality import Quality
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.areas import AreaCounter
from nerfseg_ns.maps.cloud import CloudWriter
from nerfseg_ns.maps.existing_cloud import CloudClassifier
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.las_classes import las_codes
from nerfseg_ns.maps.layers import Layers
from nerfseg_ns.maps.polygons import find_polygons, write_polygons
from nerfseg_ns.maps.rasters import RasterWriter, write_class_names
from nerfseg_ns.maps.run import replace_map, write_layers


@pytest.fixture
def label_raster() -> tuple[np.ndarray, np.ndarray]:
    """Labels with a hole, specks, and a corner that nobody sees, and their confidence."""
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 1
    labels[10:20, 5:15] = 2
    labels[13:16, 8:11] = 0
    labels[30, 40] = labels[31, 41] = 2
    labels[:6, 50:] = IGNORE_INDEX
    confidence = np.where(labels == 2, 128, 255).astype(np.uint8)
    confidence[labels == IGNORE_INDEX] = 0
    return labels, confidence


def test_a_class_raster_keeps_its_classes_in_overviews(label_raster, tmp_path):
    labels = np.kron(label_raster[0], np.ones((30, 30), np.uint8))
    grid = grid_of(*labels.shape)
    colors = dict(enumerate(TABLE.colors)) | {IGNORE_INDEX: (0, 0, 0)}
    path = RasterWriter(tmp_path, grid, {"UNIT": "m"}).write(
        "labels", labels, "MODE", nodata=IGNORE_INDEX, colors=colors
    )
    write_class_names(path, TABLE)
    with rasterio.open(path) as file:
        assert np.array_equal(file.read(1), labels) and file.nodata == IGNORE_INDEX and file.tags()["UNIT"] == "m"
        assert [file.colormap(1)[index][:3] for index in range(3)] == list(TABLE.colors)
        assert (file.transform.c, file.transform.f, file.transform.a) == (10.0, 30.0, 0.5)
        assert file.overviews(1) and "metre" not in file.crs.to_wkt()  # whose unit nobody knows
        small = file.read(1, out_shape=(labels.shape[0] // 4, labels.shape[1] // 4))
        assert set(np.unique(small)) == set(np.unique(labels))
    with Image.open(path) as picture:  # as a picture it is in the classes' colors
        assert picture.getpixel((0, 0)) == 0 and tuple(picture.getpalette()[3:6]) == TABLE.colors[1]
    names = ElementTree.parse(f"{path}.aux.xml").iter("Category")
    assert [name.text for name in names] == list(TABLE.names)
    style = ElementTree.fromstring((tmp_path / "labels.qml").read_text().split("\n", 1)[1])
    entries = {int(e.get("value")): (e.get("label"), e.get("color")) for e in style.iter("paletteEntry")}
    assert entries[0] == ("Road & path", "#804080") and len(entries) == 3
    assert {p.name for p in tmp_path.iterdir()} == {"labels.tif", "labels.tif.aux.xml", "labels.qml"}


def test_polygons_share_their_borders_and_lose_specks(label_raster, tmp_path):
    labels, confidence = label_raster
    grid = grid_of(frame=GeoMapFrame(georeference()))
    polygons = find_polygons(labels, confidence, grid, least_pixels=4, place=tmp_path)
    write_polygons(tmp_path / "classes.gpkg", polygons, TABLE, grid)
    meta, _, geometry, fields = pyogrio.raw.read(tmp_path / "classes.gpkg")
    assert meta["crs"] == "EPSG:32617" and list(meta["fields"]) == ["class", "class_index", "area", "confidence"]
    found = shapely.from_wkb(geometry)
    assert shapely.is_valid(found).all() and len(found) == 4  # road, its island in the roof, tree, roof
    known = (labels != IGNORE_INDEX).sum() * 0.25
    assert shapely.area(found).sum() == pytest.approx(known) == pytest.approx(shapely.union_all(found).area)
    by_class = {name: [] for name in TABLE.names}
    for name, area, sure in zip(fields[0], fields[2], fields[3]):
        by_class[name].append((area, sure))
    assert by_class["Roof"] == [pytest.approx((91 * 0.25 / grid.frame.areal_scale(10, 30), 127 / 254), rel=1e-6)]
    every = find_polygons(labels, confidence, grid, least_pixels=0, place=tmp_path)
    assert sum(len(some.shapes) for some in every) == 6  # two specks that touch at a corner are two


def test_polygons_are_the_same_however_small_the_pieces(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 3, (30, 40)), np.ones((8, 8))).astype(np.uint8)
    labels[random.random(labels.shape) < 0.02] = 1
    labels[:20, :40] = IGNORE_INDEX
    confidence = random.integers(1, 256, labels.shape).astype(np.uint8)
    grid = grid_of(*labels.shape)

    def polygons_in(folder: Path) -> list[tuple[float, int, float]]:
        folder.mkdir()
        write_polygons(folder / "p.gpkg", find_polygons(labels, confidence, grid, 9, folder), TABLE, grid)
        _, _, geometry, fields = pyogrio.raw.read(folder / "p.gpkg")
        bounds = shapely.bounds(shapely.from_wkb(geometry)).tolist()
        return sorted(zip(bounds, fields[1].tolist(), fields[2].tolist(), fields[3].round(9).tolist()))

    whole = polygons_in(tmp_path / "whole")
    for name, size in (("WINDOW", 64), ("MARGIN", 16), ("STRIP_PIXELS", 2000), ("BATCH", 7)):
        monkeypatch.setattr(f"nerfseg_ns.maps.polygons.{name}", size)
    assert polygons_in(tmp_path / "pieces") == whole and len(whole) > 100


def test_confidence_of_polygons_is_the_mean_of_their_pixels(tmp_path):
    """With holes, islands in holes, and borders of the map, against each polygon drawn by GDAL."""
    random = np.random.default_rng(1)
    labels = np.kron(random.integers(0, 3, (12, 15)), np.ones((3, 3))).astype(np.uint8)
    labels[6:30, 6:30], labels[9:27, 9:27], labels[12:24, 12:24], labels[15:18, 15:18] = 0, 1, 0, 2
    confidence = random.integers(1, 256, labels.shape).astype(np.uint8)
    grid = grid_of(*labels.shape)
    compared = 0
    for some in find_polygons(labels, confidence, grid, least_pixels=0, place=tmp_path):
        for outline, found in zip(some.shapes, some.confidence):
            transform = rasterio.transform.from_origin(grid.left, grid.top, grid.resolution, grid.resolution)
            inside = rasterio.features.geometry_mask([outline], labels.shape, transform, invert=True)
            assert found == pytest.approx((confidence[inside].astype(float) - 1).mean() / 254, abs=1e-6)
            compared += 1 + len(outline.interiors)
    assert compared > 40


def test_files_say_what_heights_are_counted_from_and_how_exact_places_are(tmp_path):
    quality = Quality("metres above the take-off point", 14.4, 27.3)
    grid = grid_of(frame=GeoMapFrame(replace(georeference(), quality=quality)))
    layers = Layers(tmp_path, grid, 3, with_eye=False)
    layers.seen[:], layers.seen[:, :7] = 2, 0
    layers.heights[:] = 12.5
    write_layers(TABLE, grid, layers, tmp_path)
    with rasterio.open(tmp_path / "dsm.tif") as file:
        tags, heights = file.tags(), file.read(1)
    assert tags["HEIGHTS"] == "metres above the take-off point" and tags["UNIT"] == "metre"
    assert (tags["ACCURACY_PLAN_M"], tags["ACCURACY_HEIGHT_M"]) == ("14.4", "27.3")
    assert (heights[:, 7:] == 12.5).all() and (heights[:, :7] == -9999).all()
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert file.tags()["ACCURACY_PLAN_M"] == "14.4"


def test_areas_and_how_sure_they_are(tmp_path):
    probabilities = torch.tensor([[[0.95, 0.05, 0.0], [0.6, 0.4, 0.0]], [[0.2, 0.8, 0.0], [0.0, 0.0, 1.0]]])
    counter = AreaCounter(3)
    counter.add(probabilities, torch.tensor([[True, True], [True, False]]))
    counter.write(tmp_path / "areas.csv", TABLE, 0.25, "m2")
    with (tmp_path / "areas.csv").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert (rows["Road & path"]["area_m2"], rows["Tree"]["area_m2"], rows["Roof"]["area_m2"]) == ("0.5", "0.25", "0")
    assert (rows["Road & path"]["least_m2"], rows["Road & path"]["most_m2"]) == ("0.25", "0.75")
    assert rows["Road & path"]["mean_confidence"] == "0.775" and rows["Roof"]["mean_confidence"] == ""
    assert rows["Tree"]["share"] == "0.33333"


def test_points_that_two_photos_saw(tmp_path):
    """Read back by laspy and trimesh."""
    grid = grid_of(frame=GeoMapFrame(georeference()))
    layers = Layers(tmp_path, grid, 3, with_eye=False)
    rows, columns = np.indices((40, 60))
    layers.heights[:] = 10 + 0.01 * columns
    layers.labels[:], layers.confidence[:], layers.seen[:] = columns // 20, 200, 3
    layers.heights[10:14, 25:29], layers.heights[20:24, 25:29] = 16.0, 11.4
    layers.seen[:, :5] = 1
    layers.colors[:] = np.stack([rows, columns, rows + columns], axis=-1)
    writer = CloudWriter(grid, layers, las_codes(TABLE), spacing=2)
    count = writer.write_laz(tmp_path / "cloud.laz")
    writer.write_ply(tmp_path / "cloud.ply", count)
    cloud = laspy.read(tmp_path / "cloud.laz")
    (words,) = (record.record_data_bytes().decode() for record in cloud.header.vlrs if record.record_id == 3)
    assert words.startswith(f"Unit: {grid.frame.unit}; heights: {grid.frame.heights}")
    assert (cloud.header.version, cloud.header.point_format.id) == ("1.4", 7) and count == len(cloud.x) == 20 * 27
    assert cloud.header.parse_crs().to_epsg() == 32617
    x, y = np.asarray(cloud.x), np.asarray(cloud.y)
    column, row = ((x - 10) / 0.5).astype(int), ((30 - y) / 0.5).astype(int)
    assert (column >= 5).all() and (np.asarray(cloud.red) == 257 * row).all()
    np.testing.assert_allclose(cloud.z, layers.heights[row, column], atol=1e-3)
    np.testing.assert_allclose(cloud["confidence"], 199 / 254, atol=1e-6)
    expected = np.select([column < 20, column >= 40], [11, 6], 3)
    expected[(column >= 25) & (column < 29) & (row >= 10) & (row < 14)] = 5  # 6 m above the ground
    expected[(column >= 25) & (column < 29) & (row >= 20) & (row < 24)] = 4
    assert (np.asarray(cloud.classification) == expected).all()
    points = trimesh.load(tmp_path / "cloud.ply")
    np.testing.assert_allclose(np.asarray(points.vertices), cloud.xyz, atol=2e-3)
    assert (np.asarray(points.colors)[:, 1] == column).all()


@pytest.fixture
def small_map(tmp_path) -> tuple[MapGrid, Layers, CloudWriter]:
    """Road, tree and roof side by side, 10 m high, the tree 6 m higher; the first columns are not seen."""
    grid = grid_of(frame=GeoMapFrame(georeference()))
    place = grid.frame.from_scene(np.zeros((1, 3)))[0]
    grid = replace(grid, left=float(place[0]), top=float(place[1]), ceiling=60.0)
    layers = Layers(tmp_path, grid, 3, with_eye=False)
    layers.labels[:] = np.indices((40, 60))[1] // 20
    layers.heights[:] = np.where(layers.labels[:] == 1, 16.0, 10.0)
    layers.seen[:], layers.seen[:, :5] = 3, 0
    return grid, layers, CloudWriter(grid, layers, [11, "vegetation", 70], spacing=2)


@pytest.mark.parametrize("system, rise", [(None, 0.0), ("EPSG:32617", 0.0), ("EPSG:32616", -25.0)])
def test_a_cloud_of_others_gets_our_classes_and_keeps_the_rest(small_map, system, rise, tmp_path):
    """In another zone, and with heights counted from elsewhere too."""
    grid, layers, own = small_map
    random = np.random.default_rng(0)
    columns, rows = random.uniform(0, 60, 500), random.uniform(0, 40, 500)
    x, y = grid.positions(rows, columns).T
    z = layers.heights[rows.astype(int), columns.astype(int)] + random.uniform(-0.3, 0.3, 500)
    z[:40] -= 5  # below the surface
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.add_extra_dim(laspy.ExtraBytesParams("echo width", "f4"))
    if system is not None:
        header.add_crs(pyproj.CRS(system))
        x, y = pyproj.Transformer.from_crs("EPSG:32617", system, always_xy=True).transform(x, y)
    header.scales, header.offsets = np.full(3, 0.001), np.array([x.mean(), y.mean(), 0.0])
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = x, y, z + rise
    cloud["echo width"], cloud.intensity = random.uniform(0, 1, 500), random.integers(0, 999, 500)
    cloud.classification = np.full(500, 7)
    cloud.write(tmp_path / "theirs.laz")
    counts = CloudClassifier(grid, layers, own).write(tmp_path / "theirs.laz", tmp_path / "out.laz")
    found = laspy.read(tmp_path / "out.laz")
    expected = np.array([11, 5, 70])[columns.astype(int) // 20]
    unknown = (columns < 5) | (np.arange(500) < 40)
    expected[unknown] = 7
    at_edge = (
        (np.abs(columns[:, None] - [5, 20, 40]).min(axis=1) < 0.1) if system == "EPSG:32616" else np.zeros(500, bool)
    )
    bad = (np.asarray(found.classification) != expected) & ~at_edge
    assert not bad.any(), (columns[bad], rows[bad], np.asarray(found.classification)[bad], expected[bad], counts)
    assert counts.points == 500 and abs(counts.classified - (~unknown).sum()) <= at_edge.sum()
    assert counts.shift == pytest.approx(-rise, abs=0.5)
    for name in ("X", "Y", "Z", "intensity", "echo width", "gps_time", "return_number"):
        assert np.array_equal(found[name], laspy.read(tmp_path / "theirs.laz")[name]), name
    assert found.header.parse_crs() == cloud.header.parse_crs()


def test_a_cloud_that_begins_outside_the_map(small_map, tmp_path, monkeypatch):
    """Clouds are often sorted; here the first 300 points lie beside the map, and three are looked at a time."""
    grid, layers, own = small_map
    cloud = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    rows, columns = np.full(400, 20.5), np.r_[np.full(300, -500.5), np.linspace(6, 59, 100)]
    xy = grid.positions(rows, columns)
    z = np.where(columns < 0, 10.0, layers.heights[rows.astype(int), columns.astype(int).clip(0)]) + 30  # of elsewhere
    cloud.header.scales, cloud.header.offsets = np.full(3, 0.001), np.array([*xy[0], 0.0])
    cloud.x, cloud.y, cloud.z = *xy.T, z
    cloud.write(tmp_path / "sorted.las")
    for name, count in (("SAMPLE", 130), ("CHUNK", 50)):
        monkeypatch.setattr(f"nerfseg_ns.maps.existing_cloud.{name}", count)
    counts = CloudClassifier(grid, layers, own).write(tmp_path / "sorted.las", tmp_path / "out.las")
    assert (counts.points, counts.classified) == (400, 100) and counts.shift == pytest.approx(-30, abs=0.1)


def test_a_cloud_that_is_cut_off(small_map, tmp_path):
    grid, layers, own = small_map
    cloud = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    cloud.x, cloud.y, cloud.z = np.random.default_rng(0).uniform(0, 99, (3, 5000))
    cloud.write(tmp_path / "whole.laz")
    content = (tmp_path / "whole.laz").read_bytes()
    (tmp_path / "part.laz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="Cannot read the cloud .*part.laz"):
        CloudClassifier(grid, layers, own).write(tmp_path / "part.laz", tmp_path / "out.laz")
    assert not (tmp_path / "out.laz").exists()


def test_a_map_takes_the_place_of_an_earlier_one_as_a_whole(tmp_path):
    finished, output = tmp_path / "finished", tmp_path / "map"
    finished.mkdir(), output.mkdir()
    for name in ("labels.tif", "cloud.laz", "map.json", "ortho.tif.aux.xml", "notes.txt", "old-classified.laz"):
        (output / name).write_text("old")
    for name in ("labels.tif", "ortho.tif", "map.json"):
        (finished / name).write_text("new")
    replace_map(finished, output)
    found = {path.name: path.read_text() for path in output.iterdir()}
    assert found == {"labels.tif": "new", "ortho.tif": "new", "map.json": "new", "notes.txt": "old",
                     "old-classified.laz": "old"}  # fmt: skip


def test_clouds_that_cannot_be_used(small_map, tmp_path):
    grid, layers, own = small_map
    old = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    old.x, old.y, old.z = np.full((3, 4), 5.0)
    old.write(tmp_path / "old.las")
    classifier = CloudClassifier(grid, layers, own)
    with pytest.raises(UserError, match="point format 3 .* holds classes of 0 to 31; this run's codes go up to 70"):
        classifier.write(tmp_path / "old.las", tmp_path / "out.las")
    own.codes = [11, "vegetation", 6]
    with pytest.raises(UserError, match="has no point over the map"):
        classifier.write(tmp_path / "old.las", tmp_path / "out.las")
    (tmp_path / "text.laz").write_text("no cloud")
    with pytest.raises(UserError, match="Cannot read the cloud"):
        classifier.write(tmp_path / "text.laz", tmp_path / "out.laz")
    assert not list(tmp_path.glob("*out*"))


def test_codes_of_classes(tmp_path):
    assert las_codes(TABLE) == [11, "vegetation", 6]
    grass = ClassTable(("Grass", "Long grasses", "Glass", "Trees"), ((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)))
    assert las_codes(grass) == ["vegetation", 65, 66, "vegetation"]
    other = ClassTable(("Buildings", "Court", "Swimming pool"), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    assert las_codes(other) == [6, 65, 9]
    (tmp_path / "codes.json").write_text('{"Court": 200, "Buildings": "vegetation"}')
    assert las_codes(other, tmp_path / "codes.json") == ["vegetation", 200, 9]
    for text, message in (
        ('{"Hedge": 5}', "no class of the run"),
        ('{"Court": 300}', "expected 0 to 255"),
        ('{"Court": true}', "expected 0 to 255"),
        ("[1]", "no codes of classes"),
        ("{", "Cannot read"),
    ):
        (tmp_path / "codes.json").write_text(text)
        with pytest.raises(UserError, match=message):
            las_codes(other, tmp_path / "codes.json")
