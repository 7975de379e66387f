"""The town's truth from above, as written to disk: where it lies, and that it is the town that the photos show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from nerfseg_ns.dataparsers.choose import parser_config
from nerfseg_ns.dataparsers.detect import detect_dataparser
from nerfseg_ns.geo.earth_studio import EARTH_RADIUS
from nerfseg_ns.geo.georeference import Georeference
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.map_frame import GeoMapFrame
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.town.classes import Label
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town

SMALL = dict(image_size=96, train_views=3, validation_views=1, test_views=1, labelled_views=2, supersampling=1)
PLACE = dict(latitude=47.05, longitude=8.3, altitude=440.0)
LAYOUTS = ("carla-mvs", "earth-studio")


@pytest.fixture(scope="module")
def towns(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("towns")
    return {name: make_town(TownConfig(layout=name, **SMALL, **PLACE), folder / name) for name in LAYOUTS}


def points_of_photo(town: Path, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """What the first training photo's pixels show, from nothing but its files: places in the map, and labels."""
    stem = "0000" if layout == "carla-mvs" else "town-0_000"
    truth = town / "truth" / "train"
    depth, label = np.load(truth / f"depth/{stem}.npy"), np.asarray(Image.open(truth / f"label/{stem}.png"))
    pose_file = town / f"train/pose/{stem}.txt" if layout == "carla-mvs" else truth / f"pose/{stem}.txt"
    pose = np.array(pose_file.read_text().split(), float).reshape(4, 4)
    focal = 48 / np.tan(np.radians(30))
    rows, columns = np.nonzero(np.isfinite(depth))
    rays = np.column_stack([(columns - 47.5) / focal, (rows - 47.5) / focal, np.ones(len(rows))])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    points = depth[rows, columns, None] * rays @ pose[:3, :3].T + pose[:3, 3]
    if layout == "earth-studio":
        frame = LocalFrame(*PLACE.values(), EARTH_RADIUS)
        points = GeoMapFrame(Georeference(frame, np.eye(4)[:3], 1.0)).from_scene(points)
    return points, label[rows, columns]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_map_shows_the_town_of_the_photos(towns, layout):
    folder = towns[layout] / "truth" / "map"
    with rasterio.open(folder / "labels.tif") as labels, rasterio.open(folder / "dsm.tif") as surface:
        found, heights, transform = labels.read(1), surface.read(1), labels.transform
        assert surface.transform == transform and labels.shape == rasterio.open(folder / "ortho.tif").shape
        assert (labels.crs.to_epsg() == 32632) if layout == "earth-studio" else ("metre" not in labels.crs.to_wkt())
        assert labels.nodata == IGNORE_INDEX and labels.colormap(1)[int(Label.ROAD)][:3] == (128, 64, 128)
    points, true = points_of_photo(towns[layout], layout)
    columns, rows = (np.floor(value).astype(int) for value in ~transform * (points[:, 0], points[:, 1]))
    inside = (rows >= 0) & (rows < found.shape[0]) & (columns >= 0) & (columns < found.shape[1])
    assert inside.mean() > 0.8
    rows, columns, points, true = rows[inside], columns[inside], points[inside], true[inside]
    metres = 170.0 if layout == "carla-mvs" else 1.0
    on_top = np.abs(heights[rows, columns] - points[:, 2]) * metres < 0.3
    assert on_top.mean() > 0.6  # walls and what trees hide are not
    assert (found[rows, columns] == true)[on_top].mean() > 0.95
    assert (points[:, 2] - heights[rows, columns])[~on_top].mean() < 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_dataparser_takes_it_for_photos_or_labels(towns, layout):
    town = towns[layout]
    parser = parser_config(detect_dataparser(town), town, {}).setup()
    photos = [path for split in ("train", "test") for path in parser.get_dataparser_outputs(split).image_filenames]
    assert photos and not [path for path in photos if "truth" in path.parts]


def test_without_rasterio_it_is_left_out(tmp_path, monkeypatch, capsys):
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "rasterio" else find(name))
    town = make_town(TownConfig(**{**SMALL, "image_size": 16}), tmp_path / "town")
    assert not (town / "truth" / "map").exists() and json.loads((town / "town.json").read_text())
    assert "is left out: it needs rasterio, of nerfseg[maps]" in " ".join(capsys.readouterr().out.split())
