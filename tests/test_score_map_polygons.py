"""The script that scores a label map against polygons drawn on its orthophoto, and the polygons themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import score_map_polygons
from rasterio.transform import from_origin

from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.maps.drawn.classes import find_classes
from nerfseg_ns.maps.drawn.features import read_features

NAMES = ("Grass", "Water", "Court")
LEFT, TOP, SIDE = 500_000.0, 3_000_000.0, 0.5
REAL = Path(__file__).parent / "real_labels"


def square(name, left, difficult):
    """Ten pixels wide, twenty high."""
    left, right, bottom = LEFT + SIDE * left, LEFT + SIDE * (left + 10), TOP - SIDE * 20
    ring = [[left, TOP], [left, bottom], [right, bottom], [right, TOP], [left, TOP]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": {"class": name, "difficult": difficult}, "geometry": geometry}


@pytest.fixture
def polygons(tmp_path):
    """Three stripes; beside them, and below, nothing is drawn."""
    features = [square(name, 10 * index, difficult=name == "Water") for index, name in enumerate(NAMES)]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32617"}}
    path = tmp_path / "drawn.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


@pytest.fixture
def make_map(tmp_path):
    """Writes a label map of four stripes, the last of which lies in no polygon."""

    def make(stripes, named=True):
        (tmp_path / "map").mkdir(exist_ok=True)
        path, labels = tmp_path / "map" / "labels.tif", np.repeat(np.array(stripes, np.uint8), 10)[None]
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 25, "width": 40, "nodata": 255}
        profile.update(crs="EPSG:32617", transform=from_origin(LEFT, TOP, SIDE, SIDE))
        with rasterio.open(path, "w", **profile) as file:
            file.write(labels.repeat(25, axis=0), 1)
        names = "".join(f"<Category>{name}</Category>" for name in NAMES)
        text = f"<PAMDataset><PAMRasterBand><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>"
        beside = path.with_name("labels.tif.aux.xml")
        beside.write_text(text) if named else beside.unlink(missing_ok=True)
        return path

    return make


@pytest.fixture
def scored(make_map, polygons, capsys):
    def score(*stripes):
        score_map_polygons.main(make_map(stripes).parent, polygons)
        return capsys.readouterr().out.splitlines()

    return score


def test_right_maps_have_full_scores(scored):
    drawn, everything, difficult, areas = scored(0, 1, 2, 0)
    assert drawn == "600 pixels are drawn, of 100.0 % the map says a class"
    assert "all: mIoU 1.000, accuracy 1.000" in everything and "difficult: mIoU 1.000" in difficult
    assert "Water 1.00" in difficult and "Grass" not in difficult
    assert areas == "areas: Grass +0.0 % of 50, Water +0.0 % of 50, Court +0.0 % of 50"


def test_wrong_classes_and_their_areas_are_told(scored):
    """Half of what is called water is grass: IoU 0, 1/2 and 1."""
    _, everything, difficult, areas = scored(1, 1, 2, 0)
    assert everything == "all: mIoU 0.500, accuracy 0.667 (Grass 0.00, Water 0.50, Court 1.00)"
    assert "difficult: mIoU 1.000" in difficult
    assert areas == "areas: Grass -100.0 % of 50, Water +100.0 % of 50, Court +0.0 % of 50"


def test_what_the_map_leaves_open_is_not_scored(scored):
    drawn, everything, difficult, _ = scored(0, 255, 2, 0)
    assert drawn == "600 pixels are drawn, of 66.7 % the map says a class"
    assert "all: mIoU 1.000" in everything and difficult == "difficult: nothing"


def test_plain_rasters_are_scored_where_their_classes_are_named(make_map, polygons, tmp_path, capsys):
    path, classes = make_map((0, 1, 2, 0), named=False), tmp_path / "classes.json"
    with pytest.raises(SystemExit, match="--classes"):
        score_map_polygons.main(path, polygons)
    table = [{"name": name, "color": [40 * index, 0, 0]} for index, name in enumerate(NAMES)]
    classes.write_text(json.dumps({"classes": table}))
    score_map_polygons.main(path, polygons, classes)
    assert "all: mIoU 1.000" in capsys.readouterr().out


def test_polygons_of_sheffield_cross_are_whole():
    """Every class occurs more than once, and some of each are difficult; none lies on another."""
    features = read_features(REAL / "sheffield_cross_map.geojson")
    names = sorted(set(features.fields["class"]))
    classes = find_classes(features, ClassTable(names, [(index, 0, 0) for index in range(len(names))])).classes
    difficult = np.array(features.fields["difficult"], bool)
    assert features.crs.to_epsg() == 32617 and len(names) == 9
    assert (np.bincount(classes) > 1).all() and (np.bincount(classes[difficult]) > 0).all()
    for index, area in enumerate(features.geometries):
        assert area.is_valid
        assert all(area.intersection(other).area < 0.1 for other in features.geometries[:index])
