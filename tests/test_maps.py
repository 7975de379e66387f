"""`nerfseg map`: where pixels are, what is seen from where, and whole maps."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import struct
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
import trimesh
from helpers.maps import georeference, grid_of
from nerfstudio.cameras.cameras import Cameras, CameraType
from PIL import Image

from nerfseg_ns.core.projection import Projector
from nerfseg_ns.dataparsers.google_earth import GoogleEarthDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.map_frame import GeoMapFrame
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.maps.config import MapConfig
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.extent import field_grid, find_extent
from nerfseg_ns.maps.field_raster import LAYERS, FieldRaster, field_raster
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.maps.mosaic import COUNT_STEP, PhotoMosaic
from nerfseg_ns.maps.run import run_map
from nerfseg_ns.maps.surface import Surface
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town
from nerfseg_ns.training.checkpoints import find_checkpoint

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


def test_rays_fall_through_the_middles_of_the_pixels():
    frame = GeoMapFrame(georeference())
    places = frame.from_scene(np.array([[0.0, 0.0, 0.0], [0.4, 0.3, 0.0]]))
    grid = MapGrid.around(frame, places, 0.5, ceiling=float(places[:, 2].max()) + 80)
    tile = Tile(6, 9, min(30, grid.rows - 6), min(24, grid.columns - 9))
    bundle, falls = grid.rays(tile)
    rows, columns = grid.lattice(tile, 1)
    ends = bundle.origins + bundle.directions * (20 / falls)[..., None]
    found = frame.from_scene(ends.reshape(-1, 3).numpy()).reshape(*falls.shape, 3)
    for r, c in ((0, 0), (3, 5), (falls.shape[0] - 1, falls.shape[1] - 1)):
        x, y = grid.left + 0.5 * float(columns[c]), grid.top - 0.5 * float(rows[r])
        np.testing.assert_allclose(found[r, c], [x, y, grid.ceiling - 20], atol=0.02)
    heights = torch.full(falls.shape, grid.ceiling - 20)
    torch.testing.assert_close(grid.scene_points(tile, heights).float(), ends, atol=1e-4, rtol=0)


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
    assert 0.05 < seen.float().mean() and (every == 0).float().mean() > 0.3
    own = torch.tensor(views)[weights.flatten(1).argmax(dim=0)]
    assert torch.equal(own[seen], every.argmax(dim=0)[seen]) and (weights.flatten(1)[:, ~seen] == 0).all()
    step = COUNT_STEP
    at = (every > 0).sum(dim=0).view(len(rows), len(columns))[::step, ::step]
    assert torch.equal(counts[::step, ::step], at.float())


def read_with_other_programs(folder: Path) -> None:
    """The files' own formats, read by what did not write them: SQLite, Pillow, LAS's header field by field, PDAL."""
    with closing(sqlite3.connect(folder / "classes.gpkg")) as package:
        ((table, code),) = package.execute("select table_name, srs_id from gpkg_contents")
        assert (table, code) == ("classes", 32632)
        rows = package.execute("select class, class_index, area, confidence from classes").fetchall()
    with (folder / "areas.csv").open() as file:
        areas = {row["class"]: float(row["area_m2"]) for row in csv.DictReader(file)}
    assert len(rows) > 1 and {row[0] for row in rows} <= areas.keys()
    assert sum(row[2] for row in rows) == pytest.approx(sum(areas.values()), rel=1e-3)
    for name in ("labels", "confidence", "ortho", "dsm", "seen"):
        with Image.open(folder / f"{name}.tif") as picture, rasterio.open(folder / f"{name}.tif") as file:
            values = file.read().transpose(1, 2, 0)
            assert np.array_equal(np.asarray(picture), values[..., 0] if file.count == 1 else values)
    with (folder / "cloud.laz").open("rb") as file:
        header = file.read(375)
    assert header[:4] == b"LASF" and tuple(header[24:26]) == (1, 4) and header[104] == 128 + 7  # 128: compressed
    count = struct.unpack_from("<Q", header, 247)[0]
    assert count == len(trimesh.load(folder / "cloud.ply").vertices) > 100
    if shutil.which("pdal"):
        facts = json.loads(subprocess.check_output(["pdal", "info", "--summary", folder / "cloud.laz"]))
        assert facts["summary"]["num_points"] == count and "32632" in facts["summary"]["srs"]["wkt"]


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
    read_with_other_programs(tmp_path / "map")
    heights = read(tmp_path / "map" / "dsm.tif")
    assert abs(np.median(heights[heights > -9999]) - 440) < 25
    with rasterio.open(tmp_path / "map" / "dsm.tif") as file:
        assert "sphere" in file.tags()["HEIGHTS"]
    run_map(MapConfig(trainer.base_dir / "config.yml", tmp_path / "swiss", resolution=4.0, crs="EPSG:2056"))
    with rasterio.open(tmp_path / "swiss" / "labels.tif") as file:
        assert file.crs.to_epsg() == 2056 and 2.6e6 < file.bounds.left < 2.7e6
