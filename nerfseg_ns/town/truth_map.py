"""The truth from above: labels, surface and orthophoto of the town, cast straight down, as GeoTIFFs.

They lie in `truth/map`, where no dataparser looks. Where the layout puts the town on the earth they are in its UTM zone
and in metres; else in the axes and units of the written poses.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.geo.map_frame import MapFrame
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.town.cameras import RINGS
from nerfseg_ns.town.classes import CLASSES
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.render import Renderer
from nerfseg_ns.town.scene_writer import SceneWriter

FOLDER = "truth/map"
REACH = 150.0
"""Metres from the middle of the town, to all sides."""
FINER = 2.0
"""Pixels per pixel of the photos, along each axis."""
MOST = 2400
"""Pixels along each side, whatever the photos have: rays of all are cast at once."""
NO_HEIGHT = -9999.0


def write_truth_map(writer: SceneWriter, renderer: Renderer) -> bool:
    """Writes labels.tif, dsm.tif and ortho.tif; not without rasterio, which nerfseg's extra `maps` brings.

    Args:
        writer: of the scene.
        renderer: of the town.

    Returns:
        Whether they were written.
    """
    if importlib.util.find_spec("rasterio") is None:
        return False
    frame, units = writer.map_frame()
    side, reach = max(pixel_side(writer.config), 2 * REACH / MOST) / units, REACH / units
    count = round(2 * reach / side)
    middle = frame.from_scene(np.zeros((1, 3)))[0]
    left, top = np.round((middle[:2] + [-reach, reach]) / side) * side
    rows, columns = np.mgrid[:count, :count].reshape(2, -1) + 0.5
    places = np.column_stack([left + columns * side, top - rows * side, np.full(rows.shape, middle[2])])
    metres = units * frame.to_scene(places)
    view = renderer.look_down(*metres[:, :2].T.reshape(2, count, count), side * units)
    ends = np.isfinite(view.depth)
    surface = np.column_stack([metres[:, :2], np.where(ends, view.depth, 0).ravel()])
    heights = frame.from_scene(surface / units)[:, 2].reshape(count, count)
    files = _Rasters(writer.folder / FOLDER, frame, float(left), float(top), side)
    files.write("labels", np.where(ends, view.label, np.uint8(IGNORE_INDEX)), nodata=IGNORE_INDEX)
    files.write("dsm", np.where(ends, heights, NO_HEIGHT).astype(np.float32), nodata=NO_HEIGHT, HEIGHTS=frame.heights)
    files.write("ortho", view.rgb)
    return True


def pixel_side(config: TownConfig) -> float:
    """Side of a pixel of the map, metres."""
    altitude = float(np.median([height for _, height in RINGS]))
    return 2 * altitude * np.tan(np.radians(config.field_of_view) / 2) / config.image_size / FINER


class _Rasters:
    """Writes GeoTIFFs of one raster."""

    def __init__(self, folder: Path, frame: MapFrame, left: float, top: float, side: float) -> None:
        from rasterio.crs import CRS
        from rasterio.transform import Affine

        self.folder, self.unit = folder, frame.unit
        self.place = {"crs": CRS.from_wkt(frame.crs), "transform": Affine(side, 0, left, 0, -side, top)}

    def write(self, name: str, layer: Shaped[ndarray, "rows columns *bands"], nodata: Any = None, **tags: str) -> None:
        import rasterio

        bands = np.atleast_3d(layer).transpose(2, 0, 1)
        count, height, width = bands.shape
        profile = dict(
            driver="GTiff", count=count, height=height, width=width, dtype=layer.dtype, nodata=nodata,
            compress="DEFLATE", **self.place,
        )  # fmt: skip

        def make(beside: Path) -> None:
            with rasterio.open(beside, "w", **profile) as file:
                file.write(bands)
                file.update_tags(SOFTWARE="nerfseg town", UNIT=self.unit, **tags)
                if nodata == IGNORE_INDEX:
                    file.write_colormap(1, {index: (*color, 255) for index, color in enumerate(CLASSES.colors)})

        write_whole(self.folder / f"{name}.tif", make)
