"""What a trained scene shows to rays straight down, on a raster as fine as its geometry.

It is rendered once and kept beside the run: maps of any resolution are made of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from nerfseg_ns.console.progress import progress_bar, say
from nerfseg_ns.core.files import write_text, writing
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.model import NerfSegModel
from nerfseg_ns.models.view_model import RAY_FEATURES

FOLDER, FACTS = "from-above", "raster.json"
VERSION = 1
TILE = 256
LAYERS = {"heights": np.float32, "ends": np.uint8, "rgb": np.float16, "features": np.float16}


@dataclass
class SeenFromAbove:
    """What rays straight down see of a tile of a map."""

    heights: Float[Tensor, "rows columns"]
    """In the map's unit."""
    ends: Bool[Tensor, "rows columns"]
    """Where rays end in the scene."""
    rgb: Float[Tensor, "rows columns 3"]
    features: Float[Tensor, "rows columns numbers"]
    """For the classifiers, see `RayFeatures.pack`."""


class FieldRaster:
    """The raster, on disk.

    Args:
        folder: that `render` has filled.
        grid: of its cells.
    """

    def __init__(self, folder: Path, grid: MapGrid) -> None:
        self.grid = grid
        shapes = json.loads((folder / FACTS).read_text())["shapes"]
        self._layers = {
            name: DiskArray.existing(folder / f"{name}.bin", dtype, tuple(shapes[name]))
            for name, dtype in LAYERS.items()
        }

    @property
    def heights(self) -> Float[Tensor, "rows columns"]:
        """Heights of all cells, in the map's unit."""
        return torch.from_numpy(self._layers["heights"][:])

    def at(self, grid: MapGrid, tile: Tile) -> SeenFromAbove:
        """What lies at the middles of a tile's pixels, by bilinear interpolation between the raster's cells.

        Args:
            grid: of a map in the same coordinates.
            tile: of that map.
        """
        rows = self.grid.top - grid.top + (tile.row + np.arange(tile.rows) + 0.5) * grid.resolution
        columns = grid.left - self.grid.left + (tile.column + np.arange(tile.columns) + 0.5) * grid.resolution
        side = self.grid.resolution
        down = _Between.of(rows / side - 0.5, self.grid.rows)
        across = _Between.of(columns / side - 0.5, self.grid.columns)
        found = {
            name: across.mix(down.mix(torch.from_numpy(layer[down.window, across.window]).float(), 0), 1)
            for name, layer in self._layers.items()
        }
        return SeenFromAbove(found["heights"], found["ends"] > 0.5, found["rgb"], found["features"])


@dataclass
class _Between:
    """Places between the cells of a raster, along one of its sides."""

    window: slice
    """Cells that are needed."""
    before: Int[Tensor, "places"]
    """The cell before each place, counted from the window's first."""
    after: Int[Tensor, "places"]
    share: Float[Tensor, "places"]
    """Of the cell after."""

    @classmethod
    def of(cls, places: Float[ndarray, "places"], count: int) -> _Between:
        """Places in cells, 0 the middle of the first; beyond the raster it goes on as at its border."""
        places = np.clip(places, 0, count - 1)
        before = np.floor(places).astype(int)
        after = np.minimum(before + 1, count - 1)
        first = int(before[0])
        share = torch.from_numpy(places - before).float()
        window = slice(first, int(after[-1]) + 1)
        return cls(window, torch.from_numpy(before - first), torch.from_numpy(after - first), share)

    def mix(self, values: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
        """Values at the places, of the window's values along a dimension."""
        shape = [-1 if axis == dim else 1 for axis in range(values.ndim)]
        return torch.lerp(values.index_select(dim, self.before), values.index_select(dim, self.after),
                          self.share.view(shape))  # fmt: skip


def field_raster(model: NerfSegModel, grid: MapGrid, checkpoint: Path, place: Path) -> FieldRaster:
    """The raster of a run: the one that is kept beside it, if it is of this checkpoint and grid, else a new one.

    Args:
        model: of the run.
        grid: of the raster.
        checkpoint: that the model was loaded from.
        place: for the raster where the run's folder cannot be written to.

    Raises:
        UserError: the disk is full.
    """
    checkpoint = checkpoint.resolve()
    run = checkpoint.parent.parent
    kept = (run if os.access(run, os.W_OK) else place) / FOLDER
    facts = _facts(grid, checkpoint)
    folder = kept / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    found = _existing(folder, grid)
    if found is not None:
        say(f"What the run shows from above is in {folder} already.")
        return found
    with writing(kept.parent):
        kept.mkdir(exist_ok=True)
        _remove_outdated(kept, facts)
        beside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=kept))
        try:
            shapes = render(model, grid, beside)
            write_text(beside / FACTS, json.dumps({"facts": facts, "shapes": shapes}, indent=1) + "\n")
            beside.chmod(0o755)
            _move(beside, folder, grid)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return FieldRaster(folder, grid)


def _move(beside: Path, folder: Path, grid: MapGrid) -> None:
    """Gives a finished raster its name, unless another process has made the same meanwhile."""
    if _existing(folder, grid) is None:
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)


def _existing(folder: Path, grid: MapGrid) -> Optional[FieldRaster]:
    """A raster that was made before, if it is there and whole."""
    try:
        return FieldRaster(folder, grid)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_outdated(kept: Path, facts: dict[str, object]) -> None:
    """Takes away rasters of other checkpoints; those of other grids stay."""
    for path in kept.glob(f"*/{FACTS}"):
        if _read_facts(path.parent).get("checkpoint") != facts["checkpoint"]:
            shutil.rmtree(path.parent, ignore_errors=True)


def _facts(grid: MapGrid, checkpoint: Path) -> dict[str, object]:
    """All that the raster depends on."""
    state, frame = checkpoint.stat(), grid.frame
    corner = frame.to_scene(np.array([[grid.left, grid.top, grid.floor]])).round(6).tolist()
    numbers = [grid.left, grid.top, grid.resolution, grid.rows, grid.columns, grid.ceiling, grid.floor]
    return {
        "version": VERSION,
        "checkpoint": [checkpoint.name, state.st_size, state.st_mtime_ns],
        "crs": frame.crs,
        "corner_in_run": corner,
        "grid": [round(float(number), 6) for number in numbers],
    }


def _read_facts(folder: Path) -> dict[str, object]:
    try:
        return dict(json.loads((folder / FACTS).read_text(encoding="utf-8"))["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


@torch.no_grad()
def render(model: NerfSegModel, grid: MapGrid, folder: Path) -> dict[str, tuple[int, ...]]:
    """Fills a folder with the raster's layers, and gives their shapes."""
    layers: dict[str, DiskArray] = {}
    with progress_bar("Looking straight down", grid.count_tiles(TILE)) as tell, model.keeping_ray_features():
        for done, tile in enumerate(grid.tiles(TILE), start=1):
            bundle, falls = grid.rays(tile)
            outputs = model.get_loose_ray_outputs(bundle)
            heights = (grid.ceiling - outputs["depth"][..., 0] * falls).clamp(min=grid.floor)
            ends = outputs["accumulation"][..., 0] > 0.5
            found = {"heights": heights, "ends": ends, "rgb": outputs["rgb"], "features": outputs[RAY_FEATURES]}
            for name, values in found.items():
                shape = (grid.rows, grid.columns, *values.shape[2:])
                if name not in layers:
                    layers[name] = DiskArray(folder / f"{name}.bin", LAYERS[name], shape)
                layers[name][tile.slices] = values.cpu().numpy()
            tell(done)
    return {name: layer.shape for name, layer in layers.items()}
