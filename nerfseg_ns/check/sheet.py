"""The contact sheet: photos of a scene with their labels blended in, and the legend."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from nerfseg_ns.check.facts import SceneFacts, SplitFacts
from nerfseg_ns.core.files import write_whole
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.pictures.label_colors import blend_labels
from nerfseg_ns.pictures.legend import INK, MARGIN, PAPER, caption_font, legend

MAX_PHOTOS = 24
COLUMNS = 4
TILE_WIDTH = 360
CAPTION = 24
BLEND = 0.6
"""How much of the label's color is blended into the photo."""


def write_sheet(facts: SceneFacts, path: Path) -> None:
    """Writes the contact sheet.

    Args:
        facts: of the scene.
        path: of the picture; PNG or JPEG by its suffix.
    """
    tiles = [_tile(split, index) for split, index in _choose(facts)]
    height = max(tile.height for tile in tiles)
    key = legend(facts.table, COLUMNS * (TILE_WIDTH + MARGIN) - MARGIN)
    rows = math.ceil(len(tiles) / COLUMNS)
    size = (COLUMNS * (TILE_WIDTH + MARGIN) + MARGIN, 2 * MARGIN + key.height + rows * (height + MARGIN))
    sheet = Image.new("RGB", size, PAPER)
    sheet.paste(key, (MARGIN, MARGIN))
    for position, tile in enumerate(tiles):
        row, column = divmod(position, COLUMNS)
        sheet.paste(tile, (MARGIN + column * (TILE_WIDTH + MARGIN), 2 * MARGIN + key.height + row * (height + MARGIN)))
    write_whole(path, sheet.save)


def _choose(facts: SceneFacts) -> list[tuple[SplitFacts, int]]:
    """Labelled photos first, evenly over each split; then unlabelled ones, at least a few."""
    photos = [(split, index) for split in facts.splits for index in range(len(split.outputs.image_filenames))]
    labelled = [(split, index) for split, index in photos if split.labels.labels[index] is not None]
    unlabelled = [(split, index) for split, index in photos if split.labels.labels[index] is None]
    few = min(len(unlabelled), max(COLUMNS, MAX_PHOTOS - len(labelled)))
    kept = ((labelled, MAX_PHOTOS - few), (unlabelled, few))
    return [items[index] for items, count in kept for index in evenly_spaced_indices(len(items), count)]


def _tile(split: SplitFacts, index: int) -> Image.Image:
    """One photo with its labels and a caption."""
    path = split.outputs.image_filenames[index]
    with Image.open(path) as image:
        height = max(1, round(TILE_WIDTH * image.height / image.width))
        image.draft("RGB", (TILE_WIDTH, height))
        photo = np.asarray(image.convert("RGB").resize((TILE_WIDTH, height)))
    labels = split.labels.read(index, height, TILE_WIDTH)[..., 0].numpy()
    tile = Image.new("RGB", (TILE_WIDTH, height + CAPTION), PAPER)
    tile.paste(Image.fromarray(blend_labels(photo, labels, split.labels.table.color_array, BLEND)), (0, 0))
    state = "" if split.labels.labels[index] is not None else ", no labels"
    ImageDraw.Draw(tile).text((2, height + 4), f"{path.name} ({split.name}{state})", fill=INK, font=caption_font())
    return tile
