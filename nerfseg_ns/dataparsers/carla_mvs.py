"""Dataparser of the Carla-MVS layout: posed photos in splits, label maps for some of them.

Two forms of a scene are read:

One tree, with the labels beside the photos under the photo's stem, and the classes in a file:

    SCENE/{train,validation,test}/{rgb,pose,intrinsics,label}/...   SCENE/classes.json

A pair of trees, as the Carla-MVS archive has them: a stage-1 tree with the photos of all views, and a stage-2 tree
(`labels_data`) of the same form with the labelled views only, whose `rgb/` holds the class indices in the first
channel (its `color/` holds the photos again, which are not read). Within a tree files pair up by sorted order; between
the trees a view is known by its file stem, and its two poses must agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox

from nerfseg_ns.dataparsers.detect import detect_dataparser
from nerfseg_ns.dataparsers.photo_file import PHOTO_MODES
from nerfseg_ns.dataparsers.posed_tree import INDEX_MODES, SPLIT_FOLDERS, View, check_scene, read_views
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.labels.find import FORMS, find_labels, open_label
from nerfseg_ns.labels.label_maps import LabelMaps, require_labelled_pixels, resolve_labels
from nerfseg_ns.labels.photo_label import PhotoLabel

_FOLDERS_OF_SPLIT = {"train": ("train",), "val": ("validation", "test"), "test": ("test", "validation")}
"""Where nerfstudio's splits are read from: the first of the folders that the scene has."""

_SAME_POSE = 1e-3
"""Largest difference between entries of a view's two poses, in a pair of trees."""


@dataclass
class CarlaMVSDataParserConfig(DataParserConfig):
    """Posed photos in the Carla-MVS layout with label maps for some of them"""

    _target: type = field(default_factory=lambda: CarlaMVS)
    data: Path = Path()
    """The scene's folder, with train/, validation/ and test/ in it, each with rgb/, pose/ and intrinsics/."""
    label_folder: str = "label"
    """Folder of the label files beside rgb/ in each split: PNGs, LabelMe or COCO JSONs, or a VOC export. Name another
    one to train with other labels."""
    labels_data: Path | None = None
    """The stage-2 tree, for scenes that come as a pair of trees: its rgb/ holds class indices, of labelled views only.
    Views are found by file stem and must have the same pose in both. label_folder is then ignored."""
    palette: Literal["auto", "carla-mvs-20", "carla-older", "carla-newer", "google-earth"] = "auto"
    """Classes of a scene without a classes.json. auto chooses by all colors of the label files; label files that hold
    class indices do not tell their classes, so choose one there."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label files encode classes. auto decides over all label files and the whole palette; set it if that finds
    more than one answer."""


@dataclass
class CarlaMVS(DataParser):
    """Reads scenes in the Carla-MVS layout.

    Poses are kept as they are (except for nerfstudio's axes): no centring, no turning, no scaling. The whole scene, all
    splits, is read and checked at the first call, so that a mistake in the test views shows before the training.
    """

    config: CarlaMVSDataParserConfig

    def __init__(self, config: CarlaMVSDataParserConfig):
        super().__init__(config=config)
        self._scene: _Scene | None = None

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: dict | None) -> DataparserOutputs:
        """Reads one split.

        Args:
            split: "train", "val" or "test". The folder validation/ stands in where test/ is missing, and vice versa.

        Returns:
            Photos, cameras and, as `metadata["semantics"]`, `LabelMaps`. A view without a label file is unlabelled.

        Raises:
            UserError: the scene is not usable; the message says where and what to do.
        """
        if self._scene is None:
            self._scene = _read_scene(self.config)
        scene = self._scene
        folder = next((name for name in _FOLDERS_OF_SPLIT[split] if name in scene.views), None)
        if folder is None:
            raise UserError(
                f"{self.config.data} has neither validation/ nor test/: put some of the photos there, with pose/ and "
                "intrinsics/ as in train/. They need no labels."
            )
        views = scene.views[folder]
        return DataparserOutputs(
            image_filenames=[view.photo for view in views],
            cameras=_cameras(views),
            scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
            metadata={"semantics": LabelMaps.of(scene.labels[folder], scene.table)},
            dataparser_transform=torch.eye(4)[:3],
            dataparser_scale=1.0,
        )


@dataclass(frozen=True)
class _Scene:
    """A checked scene: views and labels by the split's folder name."""

    views: dict[str, list[View]]
    labels: dict[str, list[PhotoLabel | None]]
    table: ClassTable


def _read_scene(config: CarlaMVSDataParserConfig) -> _Scene:
    views = _read_tree(config.data)
    problems = ErrorCollector()
    with problems.collect():
        check_scene([view for split in views.values() for view in split])
    with problems.collect():
        table, labels = _read_labels(config, views)
    problems.raise_found()
    return _Scene(views, labels, table)


def _read_labels(
    config: CarlaMVSDataParserConfig, views: dict[str, list[View]]
) -> tuple[ClassTable, dict[str, list[PhotoLabel | None]]]:
    """Finds and checks the labels of all splits."""
    if config.labels_data is None:
        problems, found = ErrorCollector(), {}
        for name, split in views.items():
            with problems.collect():
                folder = config.data / name / config.label_folder
                photos = [view.photo for view in split]
                found[name] = find_labels(folder, [photo.stem for photo in photos], photos)
        problems.raise_found()
    else:
        found = _labels_of_second_tree(config.data, views, config.labels_data)
    if not any(found["train"]):
        where = config.labels_data or config.data
        folder = Path("train") / (config.label_folder if config.labels_data is None else "rgb")
        raise UserError(
            f"No training view is labelled: looked for {FORMS} in {where / folder}, named like the labelled photos. "
            "Label at least one view (data.label-folder is the folder's name)."
        )
    labels = [label for split in found.values() for label in split]
    sizes = [view.size for split in views.values() for view in split]
    table, labels = resolve_labels(labels, sizes, _classes_file(config), config.palette, config.label_encoding)
    remaining = iter(labels)
    by_split = {name: [next(remaining) for _ in split] for name, split in found.items()}
    require_labelled_pixels(by_split["train"], table)
    return table, by_split


def _read_tree(data: Path, modes: Sequence[str] = PHOTO_MODES) -> dict[str, list[View]]:
    """Reads all splits that a tree has, train at least."""
    if not (data / "train").is_dir():
        raise UserError(
            f"There is no folder {data / 'train'}: a scene in the Carla-MVS layout has train/, validation/ and test/, "
            f"each with rgb/, pose/ and intrinsics/. {_other_layout(data)}"
        )
    problems, views = ErrorCollector(), {}
    for name in SPLIT_FOLDERS:
        if (data / name).is_dir():
            with problems.collect():
                views[name] = read_views(data / name, modes)
    problems.raise_found()
    return views


def _other_layout(data: Path) -> str:
    """What to do with a folder that is not a tree: this dataparser is used where none is named."""
    try:
        name = detect_dataparser(data)
    except UserError:
        return "Is --data the scene's own folder?"
    return f"This looks like a scene for {name}: name it, as in ns-train nerfseg-fast {name} --data {data}"


def _classes_file(config: CarlaMVSDataParserConfig) -> Path:
    """classes.json of the scene, or of its stage-2 tree where the first has none."""
    own = config.data / "classes.json"
    return own if own.exists() or config.labels_data is None else config.labels_data / "classes.json"


def _labels_of_second_tree(
    data: Path, views: dict[str, list[View]], labels_data: Path
) -> dict[str, list[PhotoLabel | None]]:
    """Finds each view's label file in the stage-2 tree.

    Raises:
        UserError: a view of the stage-2 tree is not in the same split of the stage-1 tree, or has another pose there.
    """
    problems = ErrorCollector()
    found: dict[str, list[PhotoLabel | None]] = {name: [None] * len(split) for name, split in views.items()}
    for name, labelled in _read_tree(labels_data, INDEX_MODES).items():
        position = {view.photo.stem: index for index, view in enumerate(views.get(name, []))}
        for view in labelled:
            with problems.collect():
                index = position.get(view.photo.stem)
                if index is None:
                    raise UserError(
                        f"{view.photo} has no photo {view.photo.stem} in {data / name / 'rgb'}: a labelled view must "
                        "have the same file stem, in the same split, in both trees."
                    )
                _check_same_pose(view, views[name][index])
                found[name][index] = open_label(view.photo, view.photo.stem)
    problems.raise_found()
    return found


def _check_same_pose(view: View, photo_view: View) -> None:
    difference = np.abs(view.camera_to_world - photo_view.camera_to_world).max()
    if difference > _SAME_POSE:
        raise UserError(
            f"{view.pose_file} and {photo_view.pose_file} differ by {difference:.2g}: the view {view.photo.stem} is "
            "not the same in both trees. Do they belong to the same scene, at the same scale?"
        )


def _cameras(views: list[View]) -> Cameras:
    """nerfstudio's cameras: OpenGL axes (x right, y up, z backward), own intrinsics per view."""
    poses = np.stack([view.camera_to_world for view in views])[:, :3]
    poses[:, :, 1:3] *= -1
    intrinsics = torch.from_numpy(np.stack([view.intrinsics for view in views])).float()
    sizes: list[tuple[int, int]] = [view.size for view in views]
    return Cameras(
        camera_to_worlds=torch.from_numpy(poses).float(),
        fx=intrinsics[:, 0, 0].contiguous(),
        fy=intrinsics[:, 1, 1].contiguous(),
        cx=intrinsics[:, 0, 2].contiguous(),
        cy=intrinsics[:, 1, 2].contiguous(),
        width=torch.tensor([width for width, _ in sizes]),
        height=torch.tensor([height for _, height in sizes]),
        camera_type=CameraType.PERSPECTIVE,
    )
