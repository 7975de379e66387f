"""Writes label files as the programs do that people label photos with: CVAT, LabelMe, and others that write COCO."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from helpers.scenes import HEIGHT, TABLE, WIDTH, save_image
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable


def sparse_labels(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Class indices uint8 [height, width] of noise, about a quarter of it not labelled; all classes occur."""
    indices = np.array([*range(len(TABLE)), IGNORE_INDEX], dtype=np.uint8)
    return np.random.default_rng(seed).choice(indices, (size[1], size[0]))


def write_json(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def rectangles(labels: np.ndarray) -> list[tuple[int, list[tuple[int, int]]]]:
    """A label map as rectangles, a class and the corners (x, y) each: the runs of its rows."""
    found = []
    for row, line in enumerate(labels.tolist()):
        starts = [0] + [i for i in range(1, len(line)) if line[i] != line[i - 1]]
        for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
            if line[start] != IGNORE_INDEX:
                found.append((line[start], [(start, row), (end, row), (end, row + 1), (start, row + 1)]))
    return found


# LabelMe


def shape(label: str, points, kind: str = "polygon", mask: np.ndarray | None = None, **more) -> dict:
    """A shape with the keys that LabelMe 5 gives it."""
    encoded = None
    if mask is not None:
        with io.BytesIO() as buffer:
            Image.fromarray(mask.astype(np.uint8)).save(buffer, format="PNG")
            encoded = base64.b64encode(buffer.getvalue()).decode()
    points = np.array(points, dtype=float).tolist()
    head = {"label": label, "points": points, "group_id": None, "description": ""}
    return {**head, "shape_type": kind, "flags": {}, "mask": encoded, **more}


def write_labelme(path: Path, shapes: list, size: tuple[int, int] = (WIDTH, HEIGHT), **changes) -> Path:
    """A file with the keys that LabelMe 5 gives it, in its order."""
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{path.stem}.jpg", "imageData": "aGk="}
    return write_json(path, {**content, "imageHeight": size[1], "imageWidth": size[0], **changes})


def labelme_polygons(folder: Path, maps: dict[str, np.ndarray], table: ClassTable = TABLE) -> None:
    for stem, labels in maps.items():
        write_labelme(folder / f"{stem}.json", [shape(table.names[k], corners) for k, corners in rectangles(labels)])


def labelme_masks(folder: Path, maps: dict[str, np.ndarray], table: ClassTable = TABLE) -> None:
    """Masks cut to the box around each class, as LabelMe's AI masks are; the box holds its last row and column."""
    for stem, labels in maps.items():
        shapes = []
        for index in np.unique(labels[labels != IGNORE_INDEX]):
            rows, columns = np.nonzero(labels == index)
            (top, left), (bottom, right) = (rows.min(), columns.min()), (rows.max(), columns.max())
            cut = (labels == index)[top : bottom + 1, left : right + 1]
            shapes.append(shape(table.names[index], [(left, top), (right, bottom)], "mask", cut))
        write_labelme(folder / f"{stem}.json", shapes)


# COCO


def write_coco(path: Path, photos: dict[str, list], table: ClassTable = TABLE, **changes) -> Path:
    """A file with the keys that CVAT gives it; per photo's file name its (class index, segmentation) pairs."""
    image = {"width": WIDTH, "height": HEIGHT, "license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0}
    images = [{"id": id, **image, "file_name": name} for id, name in enumerate(photos, start=1)]
    pairs = [(id, *pair) for id, entries in enumerate(photos.values(), start=1) for pair in entries]
    more = {"area": 1.0, "bbox": [0, 0, 1, 1], "iscrowd": 0, "attributes": {"occluded": False}}
    annotations = [
        {"id": id, "image_id": photo, "category_id": index + 1, "segmentation": segmentation, **more}
        for id, (photo, index, segmentation) in enumerate(pairs, start=1)
    ]
    categories = [{"id": id, "name": name, "supercategory": ""} for id, name in enumerate(table.names, start=1)]
    content = {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": ""}, "categories": categories}
    return write_json(path, {**content, "images": images, "annotations": annotations, **changes})


def runs(mask: np.ndarray) -> dict:
    """Run lengths of a mask down its columns, beginning with those of False, worked out pixel by pixel."""
    counts, current = [0], False
    for value in mask.T.ravel().tolist():
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return {"counts": counts, "size": list(mask.shape)}


def compressed(mask: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"counts": encoded["counts"].decode(), "size": list(mask.shape)}


def coco_polygons(folder: Path, maps: dict[str, np.ndarray]) -> None:
    photos = {
        f"sub/{stem}.JPG": [(k, [np.ravel(corners).tolist()]) for k, corners in rectangles(labels)]
        for stem, labels in maps.items()
    }
    write_coco(folder / "annotations" / "instances_default.json", photos)


def _coco_masks(folder: Path, maps: dict[str, np.ndarray], encode) -> None:
    photos = {
        f"{stem}.png": [(k, encode(labels == k)) for k in range(len(TABLE)) if (labels == k).any()]
        for stem, labels in maps.items()
    }
    write_coco(folder / "labels.json", photos)


def coco_runs(folder: Path, maps: dict[str, np.ndarray]) -> None:
    _coco_masks(folder, maps, runs)


def coco_compressed(folder: Path, maps: dict[str, np.ndarray]) -> None:
    _coco_masks(folder, maps, compressed)


# VOC


def write_labelmap(folder: Path, entries: dict[str, tuple[int, int, int]]) -> Path:
    """A labelmap.txt as CVAT writes it; classes come in the order of their names there, and background is black."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}:{','.join(map(str, color))}::\n" for name, color in entries.items()]
    path = folder / "labelmap.txt"
    path.write_text("# label:color_rgb:parts:actions\n" + "".join(lines), encoding="utf-8")
    return path


def _voc_colors(table: ClassTable) -> np.ndarray:
    colors = np.zeros((256, 3), dtype=np.uint8)
    colors[: len(table)] = table.color_array
    return colors


def voc_rgb(folder: Path, maps: dict[str, np.ndarray], table: ClassTable = TABLE) -> None:
    entries = {"background": (0, 0, 0), **dict(zip(table.names, table.colors, strict=True))}
    write_labelmap(folder, dict(sorted(entries.items())))
    for stem, labels in maps.items():
        save_image(folder / "SegmentationClass" / "frames" / f"{stem}.png", _voc_colors(table)[labels])
        save_image(folder / "SegmentationObject" / "frames" / f"{stem}.png", _voc_colors(table)[labels[::-1]])
        listed = folder / "ImageSets" / "Segmentation" / "default.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("".join(f"frames/{stem}\n" for stem in maps))


def voc_palette(folder: Path, maps: dict[str, np.ndarray], table: ClassTable = TABLE) -> None:
    """As classic VOC: indices of their own (here the classes in reverse), colors in the PNG's palette."""
    voc_rgb(folder, maps, table)
    for stem, labels in maps.items():
        image = Image.fromarray(255 - labels)
        image.putpalette(_voc_colors(table)[::-1].ravel().tolist())
        image.save(folder / "SegmentationClass" / "frames" / f"{stem}.png")
