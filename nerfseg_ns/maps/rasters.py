"""Layers of a map as cloud-optimised GeoTIFFs that geographic information systems open as they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import rasterio
import rasterio.shutil
from numpy import ndarray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from nerfseg_ns.core.files import write_text, write_whole
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.grid import MapGrid

STRIP = 512
CACHE_MB = 128
"""Of GDAL, which takes a twentieth of the machine's memory otherwise."""
NO_HEIGHT = -9999.0


class RasterWriter:
    """Writes layers of one map.

    Args:
        folder: to write into.
        grid: of the map.
        tags: metadata of every file.
    """

    def __init__(self, folder: Path, grid: MapGrid, tags: dict[str, str]) -> None:
        self.folder, self.grid, self.tags = folder, grid, tags
        self.crs = CRS.from_wkt(grid.frame.crs)
        self.transform = grid.transform

    def write(
        self,
        name: str,
        layer: ndarray | DiskArray,
        overviews: str,
        nodata: Optional[float] = None,
        colors: Optional[dict[int, tuple[int, int, int]]] = None,
        **tags: str,
    ) -> Path:
        """Writes a layer, whole or not at all.

        Args:
            name: of the file, without suffix.
            layer: [rows, columns] or [rows, columns, bands]; read strip by strip.
            overviews: how the pyramid is made: classes must not be averaged.
            nodata: value that says that nothing is known.
            colors: by value, for rasters of indices.
            **tags: metadata of the file.
        """
        bands = 1 if layer.ndim == 2 else layer.shape[2]
        profile = dict(
            driver="GTiff", width=self.grid.columns, height=self.grid.rows, count=bands, dtype=layer.dtype,
            nodata=nodata, crs=self.crs, transform=self.transform, tiled=True, blockxsize=STRIP, blockysize=STRIP,
            compress="DEFLATE", bigtiff="IF_SAFER",
        )  # fmt: skip
        path = self.folder / f"{name}.tif"

        def make(beside: Path) -> None:
            plain = beside.with_suffix(".plain.tif")
            options = dict(driver="COG", compress="DEFLATE", overview_resampling=overviews, bigtiff="IF_SAFER")
            options |= {} if colors is not None else {"predictor": "YES"}
            try:
                with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
                    with rasterio.open(plain, "w", **profile) as file:
                        self._fill(file, layer, colors)
                        file.update_tags(**self.tags, **tags)
                    rasterio.shutil.copy(plain, beside, **options)
            finally:
                for left in beside.parent.glob(f"{plain.name}*"):
                    left.unlink()

        write_whole(path, make)
        return path

    def _fill(self, file: Any, layer: ndarray | DiskArray, colors: Optional[dict[int, Any]]) -> None:
        if colors is not None:
            file.write_colormap(1, {value: (*color, 255) for value, color in colors.items()})
        elif file.count == 3:
            file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        for row in range(0, self.grid.rows, STRIP):
            rows = min(STRIP, self.grid.rows - row)
            strip = layer[row : row + rows]
            window = Window(0, row, self.grid.columns, rows)
            file.write(strip[None] if strip.ndim == 2 else np.moveaxis(strip, -1, 0), window=window)


def write_class_names(raster: Path, table: ClassTable) -> None:
    """Writes the names of the classes beside a raster of class indices, as GDAL keeps them and as QGIS styles."""
    names = "".join(f"<Category>{escape(name)}</Category>" for name in table.names)
    band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
    write_text(raster.with_name(raster.name + ".aux.xml"), f"<PAMDataset>{band}</PAMDataset>\n")
    entries = "".join(
        f'<paletteEntry value="{index}" color="#{r:02x}{g:02x}{b:02x}" alpha="255" label={quoteattr(name)}/>'
        for index, (name, (r, g, b)) in enumerate(zip(table.names, table.colors))
    )
    renderer = (
        f'<rasterrenderer type="paletted" band="1" opacity="1"><colorPalette>{entries}</colorPalette></rasterrenderer>'
    )
    _write_style(raster, renderer)


def write_grey_style(raster: Path, least: float, greatest: float) -> None:
    """Writes a QGIS style that shows values from black to white."""
    contrast = (
        f"<contrastEnhancement><minValue>{least}</minValue><maxValue>{greatest}</maxValue>"
        "<algorithm>StretchToMinimumMaximum</algorithm></contrastEnhancement>"
    )
    _write_style(raster, f'<rasterrenderer type="singlebandgray" grayBand="1" opacity="1">{contrast}</rasterrenderer>')


def _write_style(raster: Path, renderer: str) -> None:
    head = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
    text = f'{head}\n<qgis version="3.28"><pipe>{renderer}</pipe></qgis>\n'
    write_text(raster.with_suffix(".qml"), text)
