"""predictions.png of a scene: test views, their true labels, and what each method says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from nerfseg_ns.compare.folder import CompareFolder
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.plan import PlannedJob
from nerfseg_ns.compare.results import Comparison, Line
from nerfseg_ns.compare.scene import ComparedScene, LabelledImage
from nerfseg_ns.compare.scenes import SceneInfo
from nerfseg_ns.core.files import write_whole
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.pictures.label_colors import color_labels
from nerfseg_ns.pictures.legend import INK, MARGIN, PAPER, caption_font, legend
from nerfseg_ns.pictures.views import error_picture

VIEWS = 3
TILE_WIDTH = 190
GAP = 4
"""Between a prediction and its wrong pixels."""
LINE = 17
"""Height of a caption's line."""

Column = List[Image.Image]
"""A tile for each view."""


def write_sheet(folder: CompareFolder, scene: SceneInfo, jobs: Sequence[PlannedJob], comparison: Comparison) -> None:
    """Writes the sheet of a scene; columns are those methods that are finished on it, with the first of the seeds.

    Args:
        folder: of the comparison.
        scene: to show.
        jobs: all of them.
        comparison: what they found.
    """
    read = ComparedScene(scene.folder, truth=scene.truth)
    views = [read.test_views[position] for position in evenly_spaced_indices(len(read.test_views), VIEWS)]
    photos = [read.read("test", view) for view in views]
    columns: Dict[str, Column] = {
        "photo": [_tile(photo.image) for photo in photos],
        "truth": [_tile(color_labels(photo.labels, read.table.color_array)) for photo in photos],
    }
    for line in comparison.lines:
        job = _first_job(folder, scene, jobs, line, comparison.reference)
        if job is not None:
            title = f"{METHODS[line[0]].title} ({line[1]})"
            columns[title] = [_predicted(folder.of(job) / line[1], photo, read.table) for photo in photos]
    write_whole(folder.sheet(scene.name), _put_together(columns, read.table).save)


def _first_job(
    folder: CompareFolder, scene: SceneInfo, jobs: Sequence[PlannedJob], line: Line, labels: int
) -> Optional[PlannedJob]:
    """The line's finished job on the scene with the first seed that there is one of."""
    fitting = [job for job in jobs if (job.scene.name, job.method, job.labels) == (scene.name, line[0], labels)]
    return next((job for job in fitting if folder.result(job) is not None), None)


def _predicted(folder: Path, photo: LabelledImage, table: ClassTable) -> Image.Image:
    """A prediction, and below it, half as large, its wrong pixels."""
    with Image.open(folder / f"{photo.stem}.png") as file:
        labels = np.asarray(file)
    above = _tile(color_labels(labels, table.color_array))
    wrong = _tile(error_picture(labels, photo.labels, photo.image), TILE_WIDTH // 2)
    tile = Image.new("RGB", (TILE_WIDTH, above.height + GAP + wrong.height), PAPER)
    tile.paste(above, (0, 0))
    tile.paste(wrong, (0, above.height + GAP))
    share = (labels != photo.labels)[photo.labels != IGNORE_INDEX].mean()
    place = (TILE_WIDTH // 2 + 2 * GAP, above.height + GAP)
    ImageDraw.Draw(tile).text(place, f"wrong:\n{100 * share:.1f} %", fill=INK, font=caption_font())
    return tile


def _tile(image: UInt8[ndarray, "height width 3"], width: int = TILE_WIDTH) -> Image.Image:
    """An image in a column's width; enlarged pixel by pixel, so that every one can be seen."""
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    method = Image.Resampling.NEAREST if width >= image.shape[1] else Image.Resampling.BOX
    return Image.fromarray(image).resize((width, height), method)


def _put_together(columns: Dict[str, Column], table: ClassTable) -> Image.Image:
    """The tiles under their captions, and the legend below."""
    heights = [max(tile.height for tile in row) for row in zip(*columns.values())]
    width = len(columns) * (TILE_WIDTH + MARGIN) + MARGIN
    captions = [_wrap(title) for title in columns]
    key, top = legend(table, width - 2 * MARGIN), 2 * MARGIN + LINE * max(text.count("\n") + 1 for text in captions)
    below = top + sum(height + MARGIN for height in heights)
    sheet = Image.new("RGB", (width, below + key.height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (caption, tiles) in enumerate(zip(captions, columns.values())):
        x, y = MARGIN + index * (TILE_WIDTH + MARGIN), top
        draw.text((x, MARGIN), caption, fill=INK, font=caption_font(), spacing=3)
        for tile, height in zip(tiles, heights):
            sheet.paste(tile, (x, y))
            y += height + MARGIN
    sheet.paste(key, (MARGIN, below))
    return sheet


def _wrap(title: str) -> str:
    """A caption in lines of a column's width."""
    lines: List[str] = []
    for word in title.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and caption_font().getlength(longer) <= TILE_WIDTH:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
