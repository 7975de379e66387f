"""Dataparser of own photos: a nerfstudio scene (`transforms.json`) with label maps for some photos.

    SCENE/transforms.json   SCENE/images/STEM.jpg   SCENE/labels/STEM.png   SCENE/classes.json

Beyond nerfstudio's own dataparser: the labels, a split that never loses a label, an upright ground plane for photos
that look straight down, cameras inside the unit sphere, and sparse points read without open3d (which needs a system
library).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_utils import auto_orient_and_center_poses
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import Nerfstudio, NerfstudioDataParserConfig
from nerfstudio.data.utils.dataparsers_utils import (
    get_train_eval_split_all,
    get_train_eval_split_filename,
    get_train_eval_split_fraction,
)
from nerfstudio.utils.io import load_from_json
from torch import Tensor

from nerfseg_ns.dataparsers.ground_plane import ground_rotation
from nerfseg_ns.dataparsers.posed_tree import photo_size
from nerfseg_ns.errors import SceneError
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.labels.label_maps import LabelMaps, resolve_labels
from nerfseg_ns.labels.reader import Encoding, find_labels

_CAMERA_RADIUS = 1 / 1.1
"""Distance of the farthest camera from the origin: NeRF++ keeps the same margin to the unit sphere."""


@dataclass
class LabelledPhotosDataParserConfig(NerfstudioDataParserConfig):
    """transforms.json scenes with label maps for some photos"""

    _target: type = field(default_factory=lambda: LabelledPhotos)
    label_folder: str = "labels"
    """Folder of the label PNGs, one per labelled photo with the photo's stem, below the folder of transforms.json."""
    palette: Literal["auto", "carla-mvs-20", "carla-older", "carla-newer"] = "auto"
    """Classes of a scene without a classes.json; auto chooses by all colours of the label files."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label files encode classes. auto decides over all label files and the whole palette."""
    orientation_method: Literal["ground", "pca", "up", "vertical", "none"] = "ground"
    """How to find the world's up direction. ground: at right angles to the sparse points' plane, or, without points,
    against the photos' mean viewing direction. The others are nerfstudio's; up and vertical go by the images' up
    direction, which lies in the ground plane for photos that look straight down. An orientation_override in
    transforms.json wins."""
    auto_scale_poses: bool = True
    """Scale so that the farthest camera is 1/1.1 (times scale_factor) from the origin: the background's inverted
    sphere needs all cameras inside the unit sphere."""
    eval_mode: Literal["interval", "fraction", "filename", "all"] = "interval"
    """Which of the UNLABELLED photos are held out to measure PSNR (val and test are the same; labelled photos are
    always trained on). interval: every eval-interval-th; fraction: all but train-split-fraction of them; filename: by
    train / eval in the name; all: none is held out and every photo is in every split. Lists of file names in
    transforms.json (train_filenames, val_filenames, test_filenames) win: labelled photos listed for test are then
    held out and measure mIoU."""
    load_3D_points: bool = True
    """Read the sparse points that transforms.json names (ply_file_path); they give the ground plane and the bounds."""


@dataclass
class LabelledPhotos(Nerfstudio):
    """nerfstudio's dataparser with label maps.

    Splits: train holds all labelled photos and the unlabelled ones that are not held out; val and test hold those held
    out (see `eval_mode`), so that train and test together are all photos. Where every photo is labelled, val and test
    are all photos too: PSNR and mIoU are then those of training photos.
    """

    config: LabelledPhotosDataParserConfig

    def __post_init__(self) -> None:
        self.options = self.config
        # nerfstudio asks on the terminal whether to convert COLMAP's points; these two make it go on without points.
        self.prompted_user, self.create_pc = True, False

    def _generate_dataparser_outputs(self, split: str = "train") -> DataparserOutputs:
        """Reads one split.

        Args:
            split: "train", "val" or "test".

        Returns:
            nerfstudio's outputs with `LabelMaps` as `metadata["semantics"]` and, where the scene has sparse points,
            `points3D_xyz` and `points3D_rgb`.

        Raises:
            SceneError: the scene is not usable; the message says where and what to do.
        """
        folder, meta = self._read_meta()
        poses = _frame_poses(meta, folder)
        labels, table, encoding = self._find_labels(meta, folder)
        leveled = "orientation_override" not in meta and self.options.orientation_method == "ground"
        # The parent is given all photos, scale and orientation; splitting and levelling follow here.
        self.config = replace(
            self.options,
            eval_mode="fraction",
            train_split_fraction=1.0,
            orientation_method="none" if leveled else self.options.orientation_method,
            auto_scale_poses=False,
            scale_factor=self.options.scale_factor * self._auto_scale(poses),
        )
        listed = _listed_split(meta, split)
        try:
            outputs = super()._generate_dataparser_outputs(listed or "train")
        except (AssertionError, KeyError, RuntimeError) as error:  # nerfstudio's complaints about the file
            raise SceneError(f"transforms.json of {folder} is not usable: {error}") from error
        if leveled:
            _rotate(outputs, ground_rotation(poses, outputs.metadata.get("points3D_xyz")))
        if listed is None:
            labelled = [path.stem in labels for path in outputs.image_filenames]
            outputs = _select(
                outputs, _split_indices(outputs.image_filenames, labelled, self.options)[split == "train"]
            )
        label_files = [labels.get(path.stem) for path in outputs.image_filenames]
        if split == "train" and not any(label_files):
            raise SceneError(
                f"None of the photos listed for training in {folder} has a label file: sought were PNGs in "
                f"{folder / self.options.label_folder}. List a labelled photo in train_filenames."
            )
        outputs.metadata["semantics"] = LabelMaps.of(label_files, table, encoding)
        return outputs

    def _read_meta(self) -> tuple[Path, dict]:
        """The scene's folder and the content of transforms.json."""
        data = self.options.data
        file = data if data.suffix == ".json" else data / "transforms.json"
        try:
            meta = load_from_json(file)
        except (OSError, ValueError) as error:
            raise SceneError(f"Cannot read {file}: {error}. --data is a folder with a transforms.json.") from error
        frames = meta.get("frames") if isinstance(meta, dict) else None
        if not frames or not all("file_path" in frame and "transform_matrix" in frame for frame in frames):
            raise SceneError(f"{file} lists no photos: wanted are frames, each with file_path and transform_matrix.")
        return file.parent, meta

    def _find_labels(self, meta: dict, folder: Path) -> tuple[dict[str, Path], ClassTable, Encoding]:
        """Finds and checks the scene's label files; keys are the photos' stems."""
        try:
            photos = sorted(self._get_fname(Path(frame["file_path"]), folder) for frame in meta["frames"])
        except OSError as error:  # nerfstudio opens one photo to see how large they are
            raise SceneError(f"Cannot read a photo that {folder}/transforms.json names: {error}") from error
        sizes = [photo_size(photo) for photo in photos]
        stems = [photo.stem for photo in photos]
        repeated = next((stem for stem in stems if stems.count(stem) > 1), None)
        if repeated is not None:
            raise SceneError(f"Several photos of {folder} are named {repeated}: labels are found by that name, rename.")
        label_folder = folder / self.options.label_folder
        found = find_labels(label_folder, stems)
        if not any(found):
            raise SceneError(
                f"No photo is labelled: sought were PNGs in {label_folder}, one per labelled photo with the photo's "
                "stem as its name. Label at least one photo."
            )
        pairs = {
            stem: (label, size) for stem, label, size in zip(stems, found, sizes, strict=True) if label is not None
        }
        table, encoding = resolve_labels(
            [label for label, _ in pairs.values()],
            [self._label_size(meta, folder, stem, size) for stem, (_, size) in pairs.items()],
            folder / "classes.json",
            self.options.palette,
            self.options.label_encoding,
        )
        return {stem: label for stem, (label, _) in pairs.items()}, table, encoding

    def _label_size(self, meta: dict, folder: Path, stem: str, size: tuple[int, int]) -> tuple[int, int]:
        """Labels have the size of the full photo, also where a copy of it that is scaled down is loaded."""
        original = next(
            folder / frame["file_path"] for frame in meta["frames"] if Path(frame["file_path"]).stem == stem
        )
        if original.exists():
            return photo_size(original)
        return size[0] * self.downscale_factor, size[1] * self.downscale_factor

    def _auto_scale(self, poses: Float[Tensor, "photos 4 4"]) -> float:
        """The factor that brings the farthest camera to the wanted distance from the centre, 1 if not asked for."""
        if not self.options.auto_scale_poses:
            return 1.0
        centred, _ = auto_orient_and_center_poses(poses, method="none", center_method=self.options.center_method)
        farthest = float(centred[:, :3, 3].norm(dim=-1).max())
        if farthest == 0:
            raise SceneError(f"All cameras of {self.options.data} are at one place: no scene can be learnt from that.")
        return _CAMERA_RADIUS / farthest

    def _load_3D_points(self, ply_file_path: Path, transform_matrix: Tensor, scale_factor: float) -> dict | None:
        """As nerfstudio's, but read by trimesh."""
        import trimesh

        try:
            cloud = trimesh.load(ply_file_path, process=False)
            points = torch.from_numpy(np.array(cloud.vertices, dtype=np.float32)).reshape(-1, 3)
        except (OSError, ValueError, AttributeError, IndexError) as error:
            raise SceneError(
                f"Cannot read the sparse points {ply_file_path}: {error}. Correct ply_file_path in transforms.json, "
                "or do without: --load-3D-points False."
            ) from error
        if len(points) == 0:
            return None
        colors = np.array(getattr(cloud, "colors", []), dtype=np.uint8)
        colors = colors[:, :3] if len(colors) == len(points) else np.full((len(points), 3), 127, dtype=np.uint8)
        points = (points @ transform_matrix[:3, :3].T + transform_matrix[:3, 3]) * scale_factor
        return {"points3D_xyz": points, "points3D_rgb": torch.from_numpy(np.ascontiguousarray(colors))}


def _frame_poses(meta: dict, folder: Path) -> Float[Tensor, "photos 4 4"]:
    """Camera-to-world matrices of all photos, OpenGL axes, as they are in the file."""
    for frame in meta["frames"]:
        try:
            matrix = np.array(frame["transform_matrix"], dtype=np.float64)
        except (TypeError, ValueError):
            matrix = np.empty(0)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise SceneError(
                f"{folder}: the transform_matrix of {frame['file_path']} is not a 4 x 4 matrix of numbers."
            )
        rotation = matrix[:3, :3]
        if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-2 or np.linalg.det(rotation) < 0:
            raise SceneError(
                f"{folder}: the transform_matrix of {frame['file_path']} is no rigid camera-to-world pose."
            )
    return torch.tensor([frame["transform_matrix"] for frame in meta["frames"]], dtype=torch.float32)


def _listed_split(meta: dict, split: str) -> str | None:
    """The split whose list in transforms.json is meant: val and test stand in for each other. None without lists."""
    order = {"train": ("train",), "val": ("val", "test"), "test": ("test", "val")}[split]
    if not any(f"{name}_filenames" in meta for name in ("train", "val", "test")):
        return None
    return next((name for name in order if f"{name}_filenames" in meta), split)


def _split_indices(
    photos: list[Path], labelled: list[bool], options: LabelledPhotosDataParserConfig
) -> tuple[list[int], list[int]]:
    """Positions of the photos (held out, trained on): the first are never labelled, unless all photos are."""
    free = [index for index, has_label in enumerate(labelled) if not has_label]
    kept = [index for index, has_label in enumerate(labelled) if has_label]
    everything = list(range(len(photos)))
    if not free:
        return everything, everything
    if options.eval_mode == "all":
        return get_train_eval_split_all(photos)[1].tolist(), everything
    if options.eval_mode == "fraction":
        held = get_train_eval_split_fraction(free, options.train_split_fraction)[1]
    elif options.eval_mode == "filename":
        held = get_train_eval_split_filename([photos[index] for index in free])[1]
    else:
        # From the middle of each interval: the first photo is a corner of the survey, which fewest others overlap.
        held = np.arange(min(options.eval_interval // 2, len(free) - 1), len(free), options.eval_interval)
    held_out = [free[position] for position in held]
    if not held_out:
        return everything, everything
    return held_out, sorted(set(kept + free) - set(held_out))


def _select(outputs: DataparserOutputs, indices: list[int]) -> DataparserOutputs:
    """The outputs with some of the photos."""
    depths = outputs.metadata.get("depth_filenames")
    return replace(
        outputs,
        image_filenames=[outputs.image_filenames[index] for index in indices],
        mask_filenames=outputs.mask_filenames and [outputs.mask_filenames[index] for index in indices],
        cameras=outputs.cameras[torch.tensor(indices)],
        metadata={**outputs.metadata, "depth_filenames": depths and [depths[index] for index in indices]},
    )


def _rotate(outputs: DataparserOutputs, rotation: Float[Tensor, "3 3"]) -> None:
    """Turns cameras and sparse points about the origin, and the stored transform with them."""
    outputs.cameras.camera_to_worlds = rotation @ outputs.cameras.camera_to_worlds
    outputs.dataparser_transform = rotation @ outputs.dataparser_transform
    if "points3D_xyz" in outputs.metadata:
        outputs.metadata["points3D_xyz"] = outputs.metadata["points3D_xyz"] @ rotation.T
