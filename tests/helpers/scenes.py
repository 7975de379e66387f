"""Writes tiny seeded scenes for the tests: noise for photos, blocks of classes for labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from nerfseg_ns.labels.classes import ClassTable

WIDTH, HEIGHT = 12, 8
TABLE = ClassTable(("Building", "Road", "Vegetation"), ((70, 70, 70), (128, 64, 128), (107, 142, 35)))


def look_down(x: float, y: float, height: float = 0.5) -> np.ndarray:
    """A pose [4, 4] in OpenCV axes straight down (z forward is world -z), x to the right."""
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = x, y, height
    return pose


def label_array(seed: int, classes: int = 3, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Class indices uint8 [height, width], all classes present, in seeded order of columns."""
    columns = np.random.default_rng(seed).permutation(np.arange(size[0]) % classes)
    return np.tile(columns.astype(np.uint8), (size[1], 1))


def save_matrix(path: Path, matrix: np.ndarray) -> None:
    """Writes a matrix as plain numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(repr(float(value)) for value in np.ravel(matrix)))


def save_image(path: Path, array: np.ndarray, **options) -> None:
    """Writes an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def noise(seed: int, channels: int = 3) -> np.ndarray:
    """A photo of noise, uint8 [HEIGHT, WIDTH, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)


def write_view(split: Path, index: int, photo: np.ndarray) -> str:
    """Writes one view of a Carla-MVS tree; its focal length is 10 + index. Returns its stem."""
    stem = f"{index:04d}"
    save_image(split / "rgb" / f"{stem}.png", photo)
    save_matrix(split / "pose" / f"{stem}.txt", look_down(0.1 * index, -0.05 * index))
    intrinsics = np.eye(4)
    intrinsics[0, 0], intrinsics[1, 1], intrinsics[:2, 2] = 10 + index, 11 + index, (5.5, 4.5)
    save_matrix(split / "intrinsics" / f"{stem}.txt", intrinsics)
    return stem


def write_tree(root: Path, labelled: tuple[int, ...] = (0, 2), views: int = 4, classes_file: bool = True) -> Path:
    """One tree with labels beside the photos: `views` training views, two of validation, two of test.

    Views are numbered through the scene; those in `labelled`, and all of test, have class-index labels.
    """
    splits = {"train": range(views), "validation": range(views, views + 2), "test": range(views + 2, views + 4)}
    for name, indices in splits.items():
        for index in indices:
            stem = write_view(root / name, index, noise(index))
            if index in labelled or name == "test":
                save_image(root / name / "label" / f"{stem}.png", label_array(index))
    if classes_file:
        TABLE.save(root / "classes.json")
    return root


def write_second_tree(root: Path, views: tuple[int, ...] = (1, 3)) -> Path:
    """The stage-2 tree of a pair: class indices in all channels of rgb/, photos in color/, labelled views only."""
    for index in views:
        stem = write_view(root / "train", index, np.repeat(label_array(index)[..., None], 3, axis=2))
        save_image(root / "train" / "color" / f"{stem}.png", noise(index))
    return root


def write_photos(root: Path, photos: int = 12, labelled: tuple[int, ...] = (0, 5), **extra) -> Path:
    """A transforms.json scene of photos straight down in a row, on the -z side of a ground plane at z = 1."""
    frames = []
    for index in range(photos):
        save_image(root / "images" / f"p{index:02d}.png", noise(index))
        pose = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL axes: looks along +z
        pose[:3, 3] = 0.3 * index, 0.1 * (index % 3), 0.0
        frames.append({"file_path": f"images/p{index:02d}.png", "transform_matrix": pose.tolist()})
        if index in labelled:
            save_image(root / "labels" / f"p{index:02d}.png", label_array(index))
    camera = {"camera_model": "OPENCV", "w": WIDTH, "h": HEIGHT, "fl_x": 10.0, "fl_y": 10.0, "cx": 6.0, "cy": 4.0}
    (root / "transforms.json").write_text(json.dumps({**camera, **extra, "frames": frames}))
    TABLE.save(root / "classes.json")
    return root


def relabel(town: Path) -> None:
    """Gives a town, in place, half as many classes, and labels on two other views than before."""
    classes = json.loads((town / "classes.json").read_text())
    classes["classes"] = classes["classes"][::2]
    (town / "classes.json").write_text(json.dumps(classes))
    shutil.rmtree(town / "train/label")
    (town / "train/label").mkdir()
    for stem in ("0000", "0009"):
        shutil.copy(town / f"truth/train/label/{stem}.png", town / "train/label")
    for path in town.glob("*/label/*.png"):
        labels = np.asarray(Image.open(path)) // 2
        Image.fromarray(labels.astype(np.uint8)).save(path)
