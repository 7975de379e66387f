"""What the dataparsers of own photos share: checks, labels, splits, the ground plane, scale and georeference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_utils import auto_orient_and_center_poses
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.colmap_dataparser import ColmapDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from torch import Tensor

from nerfseg_ns.dataparsers.detect import COLMAP_FOLDERS, find_colmap
from nerfseg_ns.dataparsers.frames import Frame, read_frames
from nerfseg_ns.dataparsers.poses import CAMERA_RADIUS
from nerfseg_ns.dataparsers.splits import split_photos
from nerfseg_ns.dataparsers.validate_transforms import require_frames, validate_transforms
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.geometry.ground_plane import ground_rotation
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.labels.find import FORMS, find_labels, open_label
from nerfseg_ns.labels.label_maps import LabelMaps, require_labelled_pixels, resolve_labels
from nerfseg_ns.labels.photo_label import PhotoLabel, Size

if TYPE_CHECKING:
    from nerfseg_ns.geo.local_frame import LocalFrame

GEOREFERENCE_KEY = "georeference"
"""Key of transforms.json that says where on the earth its origin is; its units are then metres, z up."""


@dataclass
class LabelledSceneOptions(NerfstudioDataParserConfig):
    """Options of a scene, wherever its poses come from."""

    label_folder: str = "labels"
    """Folder of the label files, below the scene's folder: PNGs or LabelMe JSONs with the photo's stem, COCO JSONs, or
    a VOC export. images takes LabelMe's JSONs from beside the photos. A frame of transforms.json may name its label
    file itself, as label_path."""
    palette: Literal["auto", "carla-mvs-20", "carla-older", "carla-newer", "google-earth"] = "auto"
    """Classes of a scene without a classes.json; auto chooses by all colors of the label files."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label PNGs encode classes. auto decides over all label files and the whole palette."""
    images_path: Path = Path("images")
    """Folder of the photos below the scene's folder, for a COLMAP model without transforms.json."""
    colmap_path: Optional[Path] = None
    """Folder of the COLMAP model (cameras, images, points3D as .bin or .txt) below the scene's folder, read where there
    is no transforms.json. None looks in colmap/sparse/0, sparse/0, sparse and colmap."""
    # nerfstudio's Literal lacks "ground", which is therefore never passed on to it (see _upright_outputs).
    orientation_method: Literal["ground", "pca", "up", "vertical", "none"] = "ground"  # type: ignore[assignment]
    """How to find the world's up direction. ground: at right angles to the sparse points' plane, or, without points,
    against the photos' mean viewing direction. The others are nerfstudio's; up and vertical go by the images' up
    direction, which lies in the ground plane for photos that look straight down. An orientation_override in
    transforms.json wins; a georeferenced scene keeps its own up direction."""
    auto_scale_poses: bool = True
    """Scale so that the farthest camera is 1/1.1 (times scale_factor) from the origin: the background's inverted
    sphere needs all cameras inside the unit sphere."""
    eval_mode: Literal["interval", "fraction", "filename", "all"] = "all"
    """Which of the UNLABELLED photos are held out to measure PSNR (val and test are the same; labelled photos are
    always trained on). all: none is held out, every photo is in every split, and scores are those of photos that were
    trained on; interval: every eval-interval-th; fraction: all but train-split-fraction of them; filename: by train /
    eval in the name. The label map of a photo that is held out cannot gain from it. Lists of file names in
    transforms.json (train_filenames, val_filenames, test_filenames) win: labelled photos listed for test are then held
    out and measure mIoU."""
    load_3D_points: bool = True
    """Read the sparse points that transforms.json names (ply_file_path); they give the ground plane and the bounds."""

    def find_colmap(self) -> Optional[Path]:
        """The folder of the COLMAP model, relative to the scene's folder; None if there is none."""
        return find_colmap(self.data, COLMAP_FOLDERS if self.colmap_path is None else [str(self.colmap_path)])


@dataclass(frozen=True)
class _Scene:
    """A checked scene."""

    meta: dict
    folder: Path
    frames: list[Frame]
    labels: dict[Path, PhotoLabel]
    """By the photo that is loaded."""
    table: ClassTable
    local_frame: LocalFrame | None


class LabelledSceneMixin:
    """Adds labels to one of nerfstudio's dataparsers.

    Splits: train holds all labelled photos and the unlabelled ones that are not held out; val and test hold those held
    out (see `eval_mode`), so that train and test together are all photos. Where every photo is labelled, val and test
    are all photos too: PSNR and mIoU are then those of training photos. Lists of photos in the scene's files win.

    A subclass reads the scene's files (`_read_meta`, `_loaded_photo`) and calls its parent (`_outputs_of_all`).
    """

    options: LabelledSceneOptions
    """The user's options."""
    config: NerfstudioDataParserConfig | ColmapDataParserConfig
    """What the parent is given."""
    _scene: _Scene | None = None

    def _read_meta(self) -> tuple[Path, Path, dict]:
        """The file (for messages), the folder that its paths are relative to, and the content of transforms.json."""
        raise NotImplementedError

    def _loaded_photo(self, file_path: Path, folder: Path) -> Path:
        """The image that is loaded for a frame: the photo, or a copy of it that is scaled down."""
        raise NotImplementedError

    def _outputs_of_all(self, split: str) -> DataparserOutputs:
        """The parent's outputs: all photos, or those that the scene's files list for the split."""
        raise NotImplementedError

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs) -> DataparserOutputs:
        """Reads one split.

        Args:
            split: "train", "val" or "test".

        Returns:
            nerfstudio's outputs with `LabelMaps` as `metadata["semantics"]`, a `Georeference` as
            `metadata["georeference"]` if the scene has one, and, where it has sparse points, `points3D_xyz` and
            `points3D_rgb`.

        Raises:
            UserError: the scene is not usable; the message says where and what to do.
        """
        if self._scene is None:
            self._scene = self._read_scene()
        scene = self._scene
        listed = _listed_split(scene.meta, split)
        outputs = self._upright_outputs(scene, listed or "train")
        if listed is None:
            labelled = [photo in scene.labels for photo in outputs.image_filenames]
            parts = split_photos(
                [photo.name for photo in outputs.image_filenames],
                labelled,
                self.options.eval_mode,
                self.options.eval_interval,
                self.options.train_split_fraction,
            )
            outputs = _select(outputs, parts.train if split == "train" else parts.held_out)
        labels = [scene.labels.get(photo) for photo in outputs.image_filenames]
        if split == "train":
            self._require_labels(labels, scene)
        outputs.metadata["semantics"] = LabelMaps.of(labels, scene.table)
        return outputs

    def label_size(self, photo: Path) -> Size:
        """Width and height that labels of a photo have: those at full size, where a smaller copy is loaded.

        Args:
            photo: the image that is loaded.
        """
        if self._scene is None:
            self._scene = self._read_scene()
        return next(frame.label_size for frame in self._scene.frames if frame.photo == photo)

    def _read_scene(self) -> _Scene:
        """Reads and checks everything but the parent's part."""
        file, folder, meta = self._read_meta()
        require_frames(meta, str(file))
        problems, local_frame = ErrorCollector(), None
        with problems.collect():
            validate_transforms(meta, str(file))
        with problems.collect():
            local_frame = _local_frame(meta, str(file))
        frames = read_frames(meta, folder, str(file), lambda path: self._loaded_photo(path, folder), problems)
        stems = [Path(str(frame["file_path"])).stem for frame in meta["frames"]]  # also of photos that are unusable
        with problems.collect():
            table, labels = self._read_labels(frames, stems, folder)
        problems.raise_found()
        return _Scene(meta, folder, frames, labels, table, local_frame)

    def _read_labels(
        self, frames: list[Frame], stems: list[str], folder: Path
    ) -> tuple[ClassTable, dict[Path, PhotoLabel]]:
        """Finds and checks the labels of the frames, which may be fewer than the scene's photos (`stems`)."""
        problems, found = ErrorCollector(), {}
        label_folder = folder / self.options.label_folder
        photos = [frame.photo for frame in frames]
        with problems.collect():
            found = dict(zip(stems, find_labels(label_folder, stems, [*photos, *(frame.original for frame in frames)])))
        for frame in frames:
            if frame.label is not None:
                with problems.collect():
                    _refuse_second(frame, found.get(frame.photo.stem))
                    found[frame.photo.stem] = open_label(frame.label, frame.photo.stem)
        problems.raise_found()
        labels = [found[photo.stem] for photo in photos]
        if any(found.values()) and not any(labels):
            raise UserError()  # the problems of the labelled photos are reported already
        if not any(labels):
            raise UserError(
                f"No photo is labelled: looked for {FORMS} in {label_folder}, named like the labelled photos. "
                "Label at least one photo."
            )
        table, labels = resolve_labels(
            labels,
            [frame.label_size for frame in frames],
            folder / "classes.json",
            self.options.palette,
            self.options.label_encoding,
        )
        return table, {photo: label for photo, label in zip(photos, labels, strict=True) if label is not None}

    def _require_labels(self, labels: list[PhotoLabel | None], scene: _Scene) -> None:
        if not any(labels):
            raise UserError(
                f"None of the photos listed for training in {scene.folder} is labelled: looked for {FORMS} in "
                f"{scene.folder / self.options.label_folder}. List a labelled photo for training too."
            )
        require_labelled_pixels(labels, scene.table)

    def _upright_outputs(self, scene: _Scene, split: str) -> DataparserOutputs:
        """The parent's outputs, turned upright and scaled into the unit sphere, with the georeference."""
        poses = torch.from_numpy(np.array([frame.camera_to_world for frame in scene.frames])).float()
        method, upright = self.options.orientation_method, scene.local_frame is not None
        # The parent is given all photos, scale and orientation; splitting and levelling follow here.
        self.config = replace(
            self.config,
            eval_mode="fraction",
            train_split_fraction=1.0,
            orientation_method="none" if method == "ground" or upright else method,
            auto_scale_poses=False,
            scale_factor=self.options.scale_factor * self._auto_scale(poses),
        )
        try:
            outputs = self._outputs_of_all(split)
        except (AssertionError, KeyError, RuntimeError, ValueError) as error:  # nerfstudio's complaints
            if isinstance(error, UserError):
                raise
            raise UserError(f"The scene in {scene.folder} is not usable: {error}") from error
        if method == "ground" and "orientation_override" not in scene.meta and not upright:
            _rotate(outputs, ground_rotation(poses, outputs.metadata.get("points3D_xyz")))
        _check_unit_sphere(outputs)
        if scene.local_frame is not None:
            _keep_georeference(outputs, scene, scene.local_frame)
        return outputs

    def _auto_scale(self, poses: Float[Tensor, "photos 4 4"]) -> float:
        """The factor that brings the farthest camera to the right distance from the centre; 1 if that is turned off."""
        if not self.options.auto_scale_poses:
            return 1.0
        centred, _ = auto_orient_and_center_poses(poses, method="none", center_method=self.options.center_method)
        return CAMERA_RADIUS / float(centred[:, :3, 3].norm(dim=-1).max())


def _refuse_second(frame: Frame, other: PhotoLabel | None) -> None:
    if other is not None and other.path != frame.label:
        raise UserError(
            f"The photo {frame.photo.stem} has two labels, {other.path} and, as its label_path, {frame.label}: which "
            "one counts? Remove the other one."
        )


def _local_frame(meta: dict, where: str) -> LocalFrame | None:
    if GEOREFERENCE_KEY not in meta:
        return None
    from nerfseg_ns.geo.georeference import read_origin

    return read_origin(meta[GEOREFERENCE_KEY], where)


def _listed_split(meta: dict, split: str) -> str | None:
    """The split whose list in the scene is meant: val and test stand in for each other. None without lists."""
    order = {"train": ("train",), "val": ("val", "test"), "test": ("test", "val")}[split]
    if not any(f"{name}_filenames" in meta for name in ("train", "val", "test")):
        return None
    return next((name for name in order if f"{name}_filenames" in meta), split)


def _check_unit_sphere(outputs: DataparserOutputs) -> None:
    distance = float(outputs.cameras.camera_to_worlds[..., 3].norm(dim=-1).max())
    if not distance < 1:  # NaN is not either
        raise UserError(
            f"The farthest camera is {distance:.4g} from the origin, outside the unit sphere, where all cameras must "
            "be: leave auto-scale-poses on, or choose a smaller scale-factor."
        )


def _keep_georeference(outputs: DataparserOutputs, scene: _Scene, frame: LocalFrame) -> None:
    """Puts the georeference into the metadata: nerfstudio's transform goes from the file's coordinates, here metres."""
    from nerfseg_ns.geo.georeference import METADATA_KEY, Georeference
    from nerfseg_ns.geo.quality import Quality

    if "applied_transform" in scene.meta or "applied_scale" in scene.meta:
        raise UserError(
            f"The scene in {scene.folder} has a georeference and an applied_transform: a georeferenced scene keeps its "
            "poses in metres, east, north, up. Remove one of them."
        )
    transform = outputs.dataparser_transform.double().numpy()
    quality = Quality.read(scene.meta[GEOREFERENCE_KEY], str(scene.folder))
    outputs.metadata[METADATA_KEY] = Georeference(frame, transform, float(outputs.dataparser_scale), quality)


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
