"""Labels of a map: what the field knows of each place, and what the eye and the surroundings see on the orthophoto."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.console.progress import progress_bar
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.maps.areas import AreaCounter
from nerfseg_ns.maps.disk_array import DiskArray
from nerfseg_ns.maps.field_raster import FieldRaster
from nerfseg_ns.maps.grid import MapGrid, Tile
from nerfseg_ns.maps.layers import Layers
from nerfseg_ns.maps.mosaic import PhotoMosaic
from nerfseg_ns.model import NerfSegModel

TILE = 384
EYE_MARGIN = 96
"""Pixels, of the orthophoto as the eye sees it, beyond a tile that it is shown."""
CONTEXT_MARGIN = 12
CHUNK = 2**16
"""Pixels that are classified at once."""


@torch.no_grad()
def map_tiles(model: NerfSegModel, mosaic: PhotoMosaic, field: FieldRaster, grid: MapGrid, layers: Layers) -> None:
    """Heights, colors and what the field says, tile by tile.

    Args:
        model: of the run.
        mosaic: of its photos.
        field: what the run shows from above.
        grid: of the map.
        layers: to fill.
    """
    with progress_bar("Mapping", grid.count_tiles(TILE)) as tell:
        for done, tile in enumerate(grid.tiles(TILE), start=1):
            rendered = field.at(grid, tile)
            pixels = mosaic.make(tile, rendered.heights)
            colors = torch.where(pixels.seen[..., None] > 0, pixels.colors, rendered.rgb)
            layers.heights[tile.slices] = rendered.heights.numpy()
            layers.seen[tile.slices] = (pixels.seen * rendered.ends).numpy()
            layers.colors[tile.slices] = (colors * 255).round().byte().numpy()
            layers.logits[tile.slices] = _classify(model, rendered.features, colors).numpy()
            tell(done)


def _classify(
    model: NerfSegModel, features: Float[Tensor, "rows columns numbers"], colors: Float[Tensor, "rows columns 3"]
) -> Float[Tensor, "rows columns classes"]:
    fusion, rows = model.fusion, max(1, CHUNK // features.shape[1])
    found = [
        fusion.of_rays(fusion.unpack(some.flatten(0, 1).to(model.device)), rgb.flatten(0, 1).to(model.device)).cpu()
        for some, rgb in zip(features.split(rows), colors.split(rows))
    ]
    return torch.cat(found).view(*features.shape[:2], -1)


@torch.no_grad()
def look_at_map(model: NerfSegModel, grid: MapGrid, layers: Layers, scale: float) -> None:
    """What the eye says of the orthophoto.

    Args:
        model: with an eye.
        grid: of the map.
        layers: with the colors.
        scale: pixels that the eye is shown per pixel of the map, so that things are as large as in the photos.
    """
    shown = model.config.eye.side - 2 * EYE_MARGIN
    size, margin = max(1, round(shown / scale)), round(EYE_MARGIN / scale)
    with progress_bar("The eye looks at the map", grid.count_tiles(size)) as tell:
        for done, tile in enumerate(grid.tiles(size), start=1):
            wide = tile.widened(margin, grid)
            seen = _see(model, _read(layers.colors, wide) / 255, scale)[tile.within(wide)]
            layers.eye[tile.slices] = (seen * 255).round().byte().numpy()
            tell(done)


def _see(
    model: NerfSegModel, image: Float[Tensor, "rows columns 3"], scale: float
) -> Float[Tensor, "rows columns classes"]:
    eye, (rows, columns) = model.eye, image.shape[:2]
    batch = image.movedim(-1, 0)[None]
    if abs(scale - 1) > 0.01:
        size = [max(1, round(side * scale)) for side in (rows, columns)]
        batch = F.interpolate(batch, size=size, mode="bicubic", antialias=scale < 1).clamp(0, 1)
    height, width = batch.shape[2:]
    missing = max(0, model.config.eye.least_side - max(height, width))  # smaller images would be enlarged
    batch = F.pad(batch, (0, missing, 0, missing), mode="replicate")
    seen = eye.probabilities(batch[0].movedim(0, -1))[:height, :width].cpu()
    return F.interpolate(seen.movedim(-1, 0)[None], size=(rows, columns), mode="bilinear")[0].movedim(0, -1)


@torch.no_grad()
def label_tiles(model: NerfSegModel, grid: MapGrid, layers: Layers) -> AreaCounter:
    """Labels and confidence from all that is known; returns how much each class covers.

    Args:
        model: of the run.
        grid: of the map.
        layers: with colors, logits and the eye's opinion.
    """
    fusion, areas = model.fusion, AreaCounter(len(model.class_names))
    with progress_bar("Labelling", grid.count_tiles(TILE)) as tell:
        for done, tile in enumerate(grid.tiles(TILE), start=1):
            wide = tile.widened(CONTEXT_MARGIN, grid)
            logits, image = (_read(layer, wide).to(model.device) for layer in (layers.logits, layers.colors))
            seen = None if layers.eye is None else _read(layers.eye, wide).to(model.device) / 255
            logits = fusion.with_image(logits, image / 255, is_photo=True, seen=seen)
            probabilities = logits.softmax(dim=-1)[tile.within(wide)].cpu()
            known = layers.seen[tile.slices] > 0
            areas.add(probabilities, torch.from_numpy(known))
            confidence, labels = probabilities.max(dim=-1)
            layers.labels[tile.slices] = np.where(known, labels.byte().numpy(), IGNORE_INDEX)
            layers.confidence[tile.slices] = np.where(known, (confidence * 254).round().byte().numpy() + 1, 0)
            tell(done)
    return areas


def _read(layer: DiskArray, tile: Tile) -> Float[Tensor, "rows columns channels"]:
    return torch.from_numpy(layer[tile.slices]).float()
