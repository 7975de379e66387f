"""Dataparser of Google Earth Studio: rendered frames with their 3D tracking data, label maps for some of them.

    SCENE/NAME.json   SCENE/footage/NAME_0000.jpeg   SCENE/labels/NAME_0000.png   SCENE/classes.json   [SCENE/test.txt]

The poses come from the tracking data: no structure from motion, metres, georeferenced. Training happens in the local
frame (x east, y north, z up) about the track point, scaled into the unit sphere.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float64
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox

from nerfseg_ns.dataparsers.earth_studio_files import (
    TEST_LIST,
    check_numbering,
    find_frames,
    find_tracking_file,
    read_test_list,
)
from nerfseg_ns.dataparsers.photo_file import photo_size
from nerfseg_ns.dataparsers.poses import CAMERA_RADIUS
from nerfseg_ns.dataparsers.splits import Split, split_listed, split_photos
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.labels.find import FORMS, find_labels
from nerfseg_ns.labels.label_maps import LabelMaps, require_labelled_pixels, resolve_labels
from nerfseg_ns.labels.photo_label import PhotoLabel, Size

if TYPE_CHECKING:  # pyproj and scipy are imported when a scene is read: every ns-* command loads this module
    from nerfseg_ns.geo.earth_studio import Track

_FAR = 100.0
"""How many times farther from the origin than apart the cameras may be."""
_SAME_PLACE = 0.01
"""Metres: a flight that is smaller shows nothing in depth."""


@dataclass
class GoogleEarthDataParserConfig(DataParserConfig):
    """Google Earth Studio footage and tracking data with label maps for some frames"""

    _target: type = field(default_factory=lambda: GoogleEarth)
    data: Path = Path()
    """The scene's folder, with Earth Studio's tracking JSON and footage/ in it; or that JSON, where there are several.
    Frames listed in the folder's test.txt (one name per line) are held out for testing, labelled or not."""
    label_folder: str = "labels"
    """Folder of the label files in the scene's folder: PNGs or LabelMe JSONs with the frame's stem, COCO JSONs, or a
    VOC export."""
    palette: Literal["auto", "carla-mvs-20", "carla-older", "carla-newer", "google-earth"] = "auto"
    """Classes of a scene without a classes.json; auto chooses by all colors of the label files. google-earth:
    Building, Grass, Ground, Tree, Car in the paper's colors."""
    label_encoding: Literal["auto", "index", "rgb", "bgr"] = "auto"
    """How label PNGs encode classes. auto decides over all label files and the whole palette."""
    eval_mode: Literal["interval", "fraction", "filename", "all"] = "all"
    """Which of the UNLABELLED frames are held out to measure PSNR (val and test are the same; labelled frames are
    always trained on). all: none is held out and every frame is in every split; interval: every eval-interval-th;
    fraction: all but train-split-fraction of them; filename: by train / eval in the name. A test.txt wins: to measure
    mIoU, list labelled frames there."""
    eval_interval: int = 8
    """One of this many unlabelled frames is held out, for eval-mode interval."""
    train_split_fraction: float = 0.9
    """Share of the unlabelled frames to train on, for eval-mode fraction."""


@dataclass
class GoogleEarth(DataParser):
    """Reads scenes of Google Earth Studio.

    The whole scene, all splits, is read and checked at the first call. Every split has the `Georeference` that ties
    its coordinates to the earth in `metadata["georeference"]`.
    """

    config: GoogleEarthDataParserConfig

    def __init__(self, config: GoogleEarthDataParserConfig):
        super().__init__(config=config)
        self._scene: _Scene | None = None

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: dict | None) -> DataparserOutputs:
        """Reads one split.

        Args:
            split: "train", "val" or "test"; the last two are the same.

        Returns:
            Frames, cameras, `LabelMaps` as `metadata["semantics"]` and `metadata["georeference"]`.

        Raises:
            UserError: the scene is not usable; the message says where and what to do.
        """
        from nerfseg_ns.geo.georeference import METADATA_KEY, Georeference

        if self._scene is None:
            self._scene = _read_scene(self.config)
        scene = self._scene
        indices = scene.split.train if split == "train" else scene.split.held_out
        labels = LabelMaps.of([scene.labels[index] for index in indices], scene.table)
        scale = CAMERA_RADIUS / _farthest(scene.track)
        return DataparserOutputs(
            image_filenames=[scene.photos[index] for index in indices],
            cameras=_cameras(scene, scale)[torch.tensor(indices)],
            scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
            metadata={"semantics": labels, METADATA_KEY: Georeference(scene.track.frame, np.eye(4)[:3], scale)},
            dataparser_transform=torch.eye(4)[:3],
            dataparser_scale=scale,
        )


@dataclass(frozen=True)
class _Scene:
    """A checked scene: all frames in the order of their numbers."""

    photos: list[Path]
    size: Size
    track: "Track"
    intrinsics: Float64[np.ndarray, "frames 4"]
    labels: list[PhotoLabel | None]
    table: ClassTable
    split: Split


def _read_scene(config: GoogleEarthDataParserConfig) -> _Scene:
    from nerfseg_ns.geo.earth_studio import load_track

    file = find_tracking_file(config.data)
    problems, track, photos = ErrorCollector(), None, []
    with problems.collect():
        track = load_track(file)
        _check_flight(track, file)
    with problems.collect():
        photos = find_frames(file.parent)
    sizes = problems.each(photo_size, photos)
    if track is not None and photos:
        with problems.collect():
            check_numbering(photos, len(track.poses), file)
    if len(sizes) == len(photos) > 0:
        with problems.collect():
            _check_one_size(photos, sizes)
            if track is not None:
                intrinsics = track.intrinsics(sizes[0])
        with problems.collect():
            table, labels, split = _read_labels(config, file.parent, photos, sizes)
    problems.raise_found()
    return _Scene(photos, sizes[0], track, intrinsics, labels, table, split)


def _read_labels(
    config: GoogleEarthDataParserConfig, folder: Path, photos: list[Path], sizes: list[Size]
) -> tuple[ClassTable, list[PhotoLabel | None], Split]:
    label_folder = folder / config.label_folder
    found = find_labels(label_folder, [photo.stem for photo in photos], photos)
    if not any(found):
        raise UserError(
            f"No frame is labelled: looked for {FORMS} in {label_folder}, named like the labelled frames, "
            f"such as {photos[0].stem}. Label at least one frame."
        )
    table, labels = resolve_labels(found, sizes, folder / "classes.json", config.palette, config.label_encoding)
    split = _split(config, folder, photos, labels)
    trained = [labels[index] for index in split.train]
    if not any(trained):
        raise UserError(
            f"All labelled frames are listed in {folder / TEST_LIST}: none is left to train on. Take one out of the "
            "list, or label another frame."
        )
    require_labelled_pixels(trained, table)
    return table, labels, split


def _split(
    config: GoogleEarthDataParserConfig, folder: Path, photos: list[Path], labels: list[PhotoLabel | None]
) -> Split:
    names, listed = [photo.name for photo in photos], read_test_list(folder)
    if listed is None:
        labelled = [label is not None for label in labels]
        return split_photos(names, labelled, config.eval_mode, config.eval_interval, config.train_split_fraction)
    try:
        return split_listed(names, listed)
    except UserError as error:
        raise UserError(f"{folder / TEST_LIST}: {error}") from error


def _check_one_size(photos: list[Path], sizes: list[Size]) -> None:
    other = next((index for index, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        (width, height), (first_width, first_height) = sizes[other], sizes[0]
        raise UserError(
            f"{photos[other]} is {width} x {height} pixels, {photos[0]} {first_width} x {first_height}: all frames of "
            "a scene must have the same size."
        )


def _check_flight(track: "Track", file: Path) -> None:
    if np.ptp(track.poses[:, :3, 3], axis=0).max() < _SAME_PLACE:
        raise UserError(
            f"All cameras of {file} are in the same place: no scene can be learnt from that. Animate the "
            "camera's position, around the place for example."
        )
    farthest, spread = _farthest(track), float(np.ptp(track.poses[:, :3, 3], axis=0).max())
    if farthest > _FAR * spread:
        raise UserError(
            f"The cameras of {file} are up to {farthest:.4g} m from the track point, but within {spread:.4g} m of each "
            "other: the scene would be a speck. Move the track point to the middle of what the cameras show."
        )


def _farthest(track: "Track") -> float:
    """Distance of the farthest camera from the origin, metres."""
    return float(np.linalg.norm(track.poses[:, :3, 3], axis=1).max())


def _cameras(scene: _Scene, scale: float) -> Cameras:
    """All cameras, nerfstudio's OpenGL axes (x right, y up, z backward), positions scaled."""
    poses = scene.track.poses[:, :3].copy()
    poses[:, :, 1:3] *= -1
    poses[:, :, 3] *= scale
    fx, fy, cx, cy = torch.from_numpy(scene.intrinsics).float().unbind(dim=-1)
    return Cameras(
        camera_to_worlds=torch.from_numpy(poses).float(),
        fx=fx.contiguous(),
        fy=fy.contiguous(),
        cx=cx.contiguous(),
        cy=cy.contiguous(),
        width=scene.size[0],
        height=scene.size[1],
        camera_type=CameraType.PERSPECTIVE,
    )
