"""`nerfseg map`: where pixels are, what is seen from where, and the files, read back."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import laspy
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
import torch
import trimesh
from nerfstudio.cameras.cameras import Cameras, CameraType
from PIL import Image

from nerfseg_ns.dataparsers.google_earth import GoogleEarthDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.georeference import Georeference
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.map_frame import GeoMapFrame, LocalMapFrame
from nerfseg_ns.geo.quality import Quality
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.maps.areas import AreaCounter
from nerfseg_ns.maps.cloud import CloudWriter
from nerfseg_ns.maps.config import MapConfig
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.existing_cloud import CloudClassifier
from nerfseg_ns.maps.extent import field_grid, find_extent
from nerfseg_ns.maps.field_raster import LAYERS, FieldRaster, field_raster
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.maps.las_classes import las_codes
from nerfseg_ns.maps.layers import Layers
from nerfseg_ns.maps.mosaic import COUNT_STEP, PhotoMosaic
from nerfseg_ns.maps.polygons import find_polygons, write_polygons
from nerfseg_ns.maps.projection import Projector
from nerfseg_ns.maps.rasters import RasterWriter, write_class_names
from nerfseg_ns.maps.run import replace_map, run_map, write_layers
from nerfseg_ns.maps.surface import Surface
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town
from nerfseg_ns.training.checkpoints import find_checkpoint

TABLE = ClassTable(("Road & path", "Tree", "Roof"), ((128, 64, 128), (10, 100, 20), (200, 30, 30)))
FRAME = LocalFrame(27.9, -82.4, 12.0)
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def georeference(scale: float = 0.01) -> Georeference:
    return Georeference(FRAME, np.column_stack([TURN, [3.0, -2.0, 5.0]]), scale)


def grid_of(rows: int = 40, columns: int = 60, resolution: float = 0.5, frame=None) -> MapGrid:
    frame = frame or LocalMapFrame(np.eye(3), 1.0)
    return MapGrid(frame, 10.0, 30.0, resolution, rows, columns, ceiling=50.0, floor=-10.0)


# where places are


@pytest.mark.parametrize("kind", [CameraType.PERSPECTIVE, CameraType.FISHEYE])
def test_points_on_rays_are_found_in_their_pixels(kind):
    generator = torch.Generator().manual_seed(3)
    pose = torch.linalg.qr(torch.rand(3, 3, generator=generator))[0]
    pose = pose * pose.det().sign()  # a rotation
    camera_to_world = torch.cat([pose, torch.tensor([[1.0], [-2.0], [0.5]])], dim=1)[None]
    distortion = torch.tensor([[0.08, -0.02, 0.004, 0.0, 0.002, -0.001]])
    if kind is CameraType.FISHEYE:
        distortion[:, 4:] = 0
    cameras = Cameras(camera_to_world, 300.0, 310.0, 151.0, 98.0, 300, 200, distortion, kind)
    coords = torch.rand(500, 2, generator=generator) * torch.tensor([200.0, 300.0])
    rays = cameras.generate_rays(torch.zeros(500, 1, dtype=torch.long), coords=coords)
    points = rays.origins + rays.directions * (1 + 5 * torch.rand(500, 1, generator=generator))
    found = Projector(cameras).project(0, points)
    assert found.inside.all()
    torch.testing.assert_close(found.pixels, coords.flip(-1), atol=0.02, rtol=0)
    behind = Projector(cameras).project(0, rays.origins - rays.directions)
    assert not behind.inside.any()


def test_map_coordinates_are_those_of_the_utm_zone():
    frame = GeoMapFrame(georeference())
    assert rasterio.crs.CRS.from_wkt(frame.crs).to_epsg() == 32617 and frame.is_georeferenced and frame.unit == "metre"
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    places = frame.from_scene(points)
    np.testing.assert_allclose(frame.to_scene(places), points, atol=1e-6)
    latitude, longitude, altitude = georeference().to_geodetic(points).T
    xs, ys = rasterio.warp.transform("EPSG:4326", "EPSG:32617", longitude, latitude)
    np.testing.assert_allclose(places, np.column_stack([xs, ys, altitude]), atol=1e-3)


def test_areas_are_those_on_the_ground_whatever_the_projection():
    """A web map's square metres are larger than the ground's by the square of its scale."""
    utm, web = (GeoMapFrame(georeference(), code) for code in (None, "EPSG:3857"))
    corner = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.4, 0.0], [0.0, 0.4, 0.0]])
    true = 50 * 40  # metres, at a hundredth
    for frame in (utm, web):
        places = frame.from_scene(corner)
        area = shapely.Polygon(places[:, :2]).area / frame.areal_scale(*places[0, :2])
        assert area == pytest.approx(true, rel=2e-3)
    assert web.areal_scale(*web.from_scene(corner)[0, :2]) == pytest.approx(1 / np.cos(np.radians(27.9)) ** 2, rel=0.01)


@pytest.mark.parametrize(
    "code, message",
    [
        ("EPSG:4326", "axes are not lengths"),
        ("EPSG:1", "no coordinate system"),
        ("EPSG:32617+5773", "what heights are counted from too"),
        ("EPSG:2264", "in units of US survey foot; heights and sizes of pixels are in metres"),
    ],
)
def test_coordinate_systems_that_cannot_be_used(code, message):
    with pytest.raises(UserError, match=message):
        GeoMapFrame(georeference(), code)


@pytest.mark.parametrize("step", [1, 3])
def test_rays_fall_through_the_middles_of_the_pixels(step):
    frame = GeoMapFrame(georeference())
    places = frame.from_scene(np.array([[0.0, 0.0, 0.0], [0.4, 0.3, 0.0]]))
    grid = MapGrid.around(frame, places, 0.5, ceiling=float(places[:, 2].max()) + 80)
    tile = Tile(6, 9, min(30, grid.rows - 6), min(24, grid.columns - 9))
    bundle, falls = grid.rays(tile, step)
    rows, columns = grid.lattice(tile, step)
    ends = bundle.origins + bundle.directions * (20 / falls)[..., None]
    found = frame.from_scene(ends.reshape(-1, 3).numpy()).reshape(*falls.shape, 3)
    for r, c in ((0, 0), (3, 5), (falls.shape[0] - 1, falls.shape[1] - 1)):
        x, y = grid.left + 0.5 * float(columns[c]), grid.top - 0.5 * float(rows[r])
        np.testing.assert_allclose(found[r, c], [x, y, grid.ceiling - 20], atol=0.02)
    heights = torch.full(falls.shape, grid.ceiling - 20)
    torch.testing.assert_close(grid.scene_points(tile, step, heights).float(), ends, atol=1e-4, rtol=0)


def test_tiles_cover_the_map_once():
    grid, count = grid_of(50, 33), 0
    covered = np.zeros((50, 33), int)
    for tile in grid.tiles(16):
        covered[tile.slices] += 1
        wide = tile.widened(5, grid)
        values = np.arange(50 * 33).reshape(50, 33)
        assert np.array_equal(values[wide.slices][tile.within(wide)], values[tile.slices])
        count += 1
    assert (covered == 1).all() and count == grid.count_tiles(16)


def wall_over(grid: MapGrid) -> Surface:
    """A flat ground with a wall of 20 units along x = 25."""
    x = grid.left + (torch.arange(grid.columns) + 0.5) * grid.resolution
    return Surface(grid, torch.where((x - 25).abs() < 1.2, 20.0, 0.0).expand(grid.rows, -1).contiguous())


def test_what_stands_between_hides():
    """Against a slow march from each place to the camera."""
    grid = grid_of()
    wall = wall_over(grid)
    camera = np.array([12.0, 20.0, 45.0])
    x, y = np.meshgrid(np.arange(10.5, 40, 1.0), np.arange(11.0, 29, 2.0))
    points = np.column_stack([x.ravel(), y.ravel(), wall.at(np.column_stack([x.ravel(), y.ravel()])).numpy()])
    seen = wall.sees(camera, points).numpy()
    for point, found in zip(points, seen):
        if abs(point[0] - 25) < 2.5:
            continue  # on the wall and at its foot, where a raster's border decides
        way = point + np.linspace(0.01, 1, 2000)[:, None] * (camera - point)
        hidden = (wall.at(way[:, :2]).numpy() > way[:, 2] + 0.45).any()
        margin = np.abs(wall.at(way[:, :2]).numpy() - way[:, 2]).min()
        assert found == (not hidden) or margin < 1.5, point
    assert 0.1 < seen.mean() < 0.95


def test_between_the_cells_of_the_field_values_are_interpolated(tmp_path):
    """Of planes of values: exactly; beyond the raster as at its border. Whatever the map's pixels and corner."""
    cells, grid = replace(grid_of(30, 44), resolution=2.0), replace(grid_of(61, 50, 0.7), left=13.3, top=27.1)
    rows, columns = np.mgrid[:30, :44] + 0.5
    y, x = cells.top - rows * 2, cells.left + columns * 2
    values = {"heights": x + 2 * y, "ends": x < 40, "rgb": np.stack([x, y, x], -1), "features": np.stack([x, y], -1)}
    for name, dtype in LAYERS.items():
        DiskArray(tmp_path / f"{name}.bin", dtype, values[name].shape)[:] = values[name]
    (tmp_path / "raster.json").write_text(json.dumps({"shapes": {n: v.shape for n, v in values.items()}}))
    tile = Tile(5, 7, 40, 30)
    found = FieldRaster(tmp_path, cells).at(grid, tile)
    x, y = grid.positions(*(np.mgrid[5:45, 7:37] + 0.5)).T
    inside = torch.from_numpy(((y > cells.top - 59) & (y < cells.top - 1)).T)
    heights = torch.from_numpy((x + 2 * y).T).float()
    torch.testing.assert_close(found.heights[inside], heights[inside], atol=0.05, rtol=0)
    torch.testing.assert_close(found.features[..., 0], torch.from_numpy(x.T).float(), atol=0.05, rtol=0)
    edge = torch.from_numpy(np.abs(x - 39).T) > 1
    assert torch.equal(found.ends[edge], torch.from_numpy((x < 39).T)[edge])


def test_arrays_on_disk_are_as_in_memory(tmp_path):
    array, values = DiskArray(tmp_path / "a.bin", np.float32, (150, 70, 2)), np.random.rand(150, 70, 2)
    assert (array[:] == 0).all() and (array.shape, array.ndim) == ((150, 70, 2), 3)
    for row in range(0, 150, 40):
        array[row : row + 40, 5:] = values[row : row + 40, 5:]
    values[:, :5] = 0
    np.testing.assert_allclose(array[:], values, rtol=1e-6)
    np.testing.assert_allclose(array[[3, 99], [7, 9]], values[[3, 99], [7, 9]], rtol=1e-6)
    for step in (1, 3, 200):
        np.testing.assert_array_equal(array.every(step), array[::step, ::step])
    again = DiskArray.existing(tmp_path / "a.bin", np.float32, (150, 70, 2))
    np.testing.assert_array_equal(again[:], array[:])


# files


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
    confidence, grid = np.full_like(labels, 100), grid_of(*labels.shape)

    def polygons_in(folder: Path) -> list[tuple[float, int, float]]:
        folder.mkdir()
        write_polygons(folder / "p.gpkg", find_polygons(labels, confidence, grid, 9, folder), TABLE, grid)
        _, _, geometry, fields = pyogrio.raw.read(folder / "p.gpkg")
        bounds = shapely.bounds(shapely.from_wkb(geometry)).tolist()
        return sorted(zip(bounds, fields[1].tolist(), fields[2].tolist(), fields[3].round(9).tolist()))

    whole = polygons_in(tmp_path / "whole")
    for name, size in (("WINDOW", 64), ("MARGIN", 16), ("STRIP", 32), ("BATCH", 7)):
        monkeypatch.setattr(f"nerfseg_ns.maps.polygons.{name}", size)
    assert polygons_in(tmp_path / "pieces") == whole and len(whole) > 100


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


# whole maps


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read().squeeze()


@pytest.mark.slow
def test_the_map_of_a_run_that_is_nowhere(ns, fast_run, small_town, tmp_path):
    """A real command; its colors are those of the town's photos, its labels the run's."""
    out = tmp_path / "map"
    told = ns("nerfseg", "map", "--load-config", fast_run, "--output-dir", out)
    assert "not georeferenced" in told and "A map of" in told
    coarse = ns("nerfseg", "map", "--load-config", fast_run, "--output-dir", tmp_path / "b", "--resolution", 0.02)
    assert "already" in coarse and "Looking straight down" not in coarse  # nothing is rendered again
    wanted = {"labels", "confidence", "ortho", "dsm", "seen"}
    assert {path.stem for path in out.glob("*.tif")} == wanted and not list(out.glob(".*"))
    layers = {name: read(out / f"{name}.tif") for name in wanted}
    shape = layers["labels"].shape
    assert layers["ortho"].shape == (3, *shape) and all(layers[n].shape == shape for n in wanted - {"ortho"})
    seen = layers["seen"] > 0
    assert seen.mean() > 0.3 and ((layers["labels"] != IGNORE_INDEX) == seen).all()
    assert ((layers["confidence"] > 0) == seen).all() and ((layers["dsm"] > -9999) == seen).all()
    photos = [np.asarray(Image.open(p).convert("RGB")) for p in sorted((small_town / "train/rgb").glob("*.png"))]
    several = layers["seen"] >= 3
    assert np.abs(layers["ortho"][:, several].mean(axis=1) - np.mean(photos, axis=(0, 1, 2))).max() < 45
    with (out / "areas.csv").open() as file:
        shares = [float(row["share"]) for row in csv.DictReader(file)]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    area = pyogrio.raw.read(out / "classes.gpkg")[3][2].sum()
    side = rasterio.open(out / "dsm.tif").transform.a
    assert area == pytest.approx(seen.sum() * side**2, rel=1e-6)


@pytest.mark.slow
def test_each_place_is_of_the_photo_that_sees_it_best(fast_run, fast_pipeline, tmp_path):
    """Against asking every photo for every place whether something stands before it."""
    extent = find_extent(fast_pipeline, None)
    grid = MapGrid.around(extent.frame, extent.surface, extent.distance, extent.ceiling)
    field = field_raster(fast_pipeline.model, field_grid(fast_pipeline, extent), find_checkpoint(fast_run), tmp_path)
    surface = Surface(field.grid, field.heights)
    surface.heights[::7, ::5] += 0.3 * extent.height  # masts, which hide much
    surface.greatest = float(surface.heights.max())
    mosaic = PhotoMosaic(fast_pipeline.datamanager.train_dataset, grid, surface)
    tile = Tile(grid.rows // 3, grid.columns // 3, 48, 40)
    views, weights, counts = mosaic._weigh(tile)
    rows, columns = grid.lattice(tile, mosaic.step)
    places = mosaic._places(rows.numpy(), columns.numpy())
    every = torch.stack([mosaic._weigh_photo(view, places, hide=True) for view in range(len(mosaic.projector))])
    seen = every.amax(dim=0) > 0
    assert 0.05 < seen.float().mean() and (every == 0).float().mean() > 0.5
    own = torch.tensor(views)[weights.flatten(1).argmax(dim=0)]
    assert torch.equal(own[seen], every.argmax(dim=0)[seen]) and (weights.flatten(1)[:, ~seen] == 0).all()
    step = COUNT_STEP
    at = (every > 0).sum(dim=0).view(len(rows), len(columns))[::step, ::step]
    assert torch.equal(counts[::step, ::step], at.float())


@pytest.mark.slow
def test_the_map_of_a_scene_on_the_earth(make_trainer, step_trainer, tmp_path):
    place = dict(latitude=47.05, longitude=8.3, altitude=440.0)
    options = dict(image_size=48, train_views=16, validation_views=3, test_views=4, labelled_views=4)
    scene = make_town(TownConfig(seed=0, layout="earth-studio", **place, **options), tmp_path / "town")
    trainer = make_trainer(scene, 120, 30, dataparser=GoogleEarthDataParserConfig())
    step_trainer(trainer, range(150))
    trainer.save_checkpoint(149)
    trainer.config.save_config()
    config = MapConfig(trainer.base_dir / "config.yml", tmp_path / "map", resolution=2.0)
    run_map(config)
    with rasterio.open(tmp_path / "map" / "labels.tif") as file:
        assert file.crs.to_epsg() == 32632 and file.transform.a == 2.0
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        assert west < 8.3 < east and south < 47.05 < north and file.width * 2 < 1500
    heights = read(tmp_path / "map" / "dsm.tif")
    assert abs(np.median(heights[heights > -9999]) - 440) < 25
    with rasterio.open(tmp_path / "map" / "dsm.tif") as file:
        assert "sphere" in file.tags()["HEIGHTS"]
    run_map(MapConfig(trainer.base_dir / "config.yml", tmp_path / "swiss", resolution=4.0, crs="EPSG:2056"))
    with rasterio.open(tmp_path / "swiss" / "labels.tif") as file:
        assert file.crs.to_epsg() == 2056 and 2.6e6 < file.bounds.left < 2.7e6
