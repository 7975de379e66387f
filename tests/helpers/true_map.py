"""The built-in town's true map, in the coordinates of a run's map."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyogrio

from nerfseg_ns.geo.georeference import METADATA_KEY
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.maps.extent import find_extent
from nerfseg_ns.maps.grid import MapGrid
from nerfseg_ns.maps.polygons import find_polygons, write_polygons
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.town.config import FaultsConfig, TownConfig
from nerfseg_ns.town.make import make_renderer
from nerfseg_ns.town.render import Renderer, View

ROUNDS = 2
"""A run's axes may be tilted against the town's: where a place of the map is depends on its height, a little."""


def renderer_of(town: Path) -> tuple[Renderer, dict]:
    """What casts rays at a town that is on disk; and its record."""
    record = json.loads((town / "town.json").read_text())
    options = {name: value for name, value in record["config"].items() if name in TownConfig.__dataclass_fields__}
    config = TownConfig(**{**options, "faults": FaultsConfig(**options.get("faults", {}))})
    return make_renderer(config), record


def look_down(pipeline: NerfSegPipeline, town: Path, grid: MapGrid) -> View:
    """The town straight from above, at the pixels of a map; heights in the town's metres."""
    renderer, record = renderer_of(town)
    georeference = pipeline.datamanager.train_dataparser_outputs.metadata.get(METADATA_KEY)
    per_unit = record.get("metres_per_unit")
    rows, columns = np.mgrid[: grid.rows, : grid.columns] + 0.5
    places = grid.positions(rows.ravel(), columns.ravel())
    heights = np.full(len(places), float(grid.frame.from_scene(np.zeros((1, 3)))[0, 2]))
    for _ in range(ROUNDS):
        in_scene = grid.frame.to_scene(np.column_stack([places, heights]))
        metres = in_scene * per_unit if georeference is None else georeference.to_local(in_scene)
        xs, ys = metres[:, :2].T.reshape(2, grid.rows, grid.columns)
        view = renderer.look_down(xs, ys, grid.resolution)
        up = np.where(np.isfinite(view.depth), view.depth, 0).ravel()
        metres = np.column_stack([metres[:, :2], up])
        found = metres / per_unit if georeference is None else georeference.from_local(metres)
        heights = grid.frame.from_scene(found)[:, 2]
    return view


def draw_true_map(pipeline: NerfSegPipeline, town: Path, path: Path, finer: float = 2.0) -> int:
    """Writes polygons of the true map, as someone would draw them who sees everything right; returns how many.

    Args:
        pipeline: of a run on the town.
        town: its folder.
        path: of the GeoPackage.
        finer: pixels of the true map per pixel of the photos.
    """
    extent = find_extent(pipeline, None)
    grid = MapGrid.around(extent.frame, extent.surface, extent.distance / finer, extent.ceiling)
    view = look_down(pipeline, town, grid)
    labels = np.where(np.isfinite(view.depth), view.label, IGNORE_INDEX).astype(np.uint8)
    table = pipeline.datamanager.train_dataset.label_maps.table
    with tempfile.TemporaryDirectory() as place:
        write_polygons(path, find_polygons(labels, np.full_like(labels, 255), grid, 0, Path(place)), table, grid)
    return pyogrio.read_info(path)["features"]
