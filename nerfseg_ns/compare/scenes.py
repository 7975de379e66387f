"""The scenes of a comparison, checked before anything is trained on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.scene import ComparedScene, require_scene
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.label_maps import count_pixels


@dataclass(frozen=True)
class SceneInfo:
    """What planning has to know of a scene."""

    name: str
    """Of its folder; the jobs and the tables know it by that."""
    folder: Path
    truth: Optional[Path]
    """Folder of labels that methods are scored on; None for the views that the scene holds out."""
    photos: str
    """Digest of photos and poses: what stage 1 is learnt from."""
    labels: str
    """Digest of classes and labels, those of the held-out views too."""
    labelled: int
    """Training photos with labels."""
    unlabelled: Dict[int, int]
    """Training photos whose labels methods may not see, by the number of labels asked for (0: all)."""
    known: Dict[int, int]
    """Those of them whose true labels are known all the same."""


def enter_scenes(folders: Sequence[Path], config: CompareConfig) -> List[SceneInfo]:
    """Reads and checks the scenes.

    Raises:
        UserError: all that is wrong: a scene cannot be read or holds no labels out, has fewer labels than asked for or
            no photos for a method's extra labels, or two have one name.
    """
    problems = ErrorCollector()
    scenes = problems.each(lambda folder: _enter(folder, config), folders)
    for name, times in Counter(_name(folder) for folder in folders).items():
        if times > 1:
            problems.add(UserError(f"{times} scenes are called {name}; scenes are told apart by their folders' names."))
    problems.raise_found()
    return scenes


def _enter(folder: Path, config: CompareConfig) -> SceneInfo:
    truth = config.truth and (config.truth.expanduser() / _name(folder)).resolve()
    scene = require_scene(folder, truth)
    _check_truth(scene)
    labelled = len(scene.labelled_views)
    _check_counts(folder, labelled, config.labels)
    unlabelled, known = {}, {}
    for count in config.labels:
        with_count = ComparedScene(folder, count, truth)
        unlabelled[count] = len(with_count.train) - len(with_count.labelled_views)
        known[count] = len(with_count.propagated_views)
    info = SceneInfo(
        name=_name(folder),
        folder=folder.resolve(),
        truth=truth,
        photos=_digest_photos(scene),
        labels=_digest_labels(scene),
        labelled=labelled,
        unlabelled=unlabelled,
        known=known,
    )
    _check_extras(info, config)
    return info


def _name(folder: Path) -> str:
    """Of the scene's folder, where its transforms.json is given too."""
    path = folder.resolve()
    return path.parent.name if path.is_file() else path.name


def _check_truth(scene: ComparedScene) -> None:
    maps = scene.test.label_maps
    pixels = count_pixels([maps.labels[view] for view in scene.test_views], maps.table)
    if pixels[:, :IGNORE_INDEX].sum() == 0:
        place = f"held-out labels of {scene.folder}" if scene.truth is None else f"labels in {scene.truth}"
        raise UserError(f"The {place} do not label a single pixel: there is nothing to score on.")


def _check_counts(folder: Path, labelled: int, counts: Sequence[int]) -> None:
    for count in counts:
        if count > labelled:
            raise UserError(f"--labels asks for {count} labelled photos, but {folder} has {labelled}.")
        if count == labelled and 0 in counts:
            raise UserError(f"--labels 0 and {count} are the same in {folder}, which has {count} labelled photos.")


def _check_extras(scene: SceneInfo, config: CompareConfig) -> None:
    """Networks that are given more labels need photos for them."""
    sources = {
        "maps": (scene.unlabelled, "unlabelled training photos"),
        "truth": (scene.known, "true labels of the unlabelled training photos (truth/train/label)"),
    }
    for method in config.methods:
        available, what = sources.get(METHODS[method].extra, ({}, ""))
        if not all(available.values()):
            raise UserError(
                f"{method} needs {what}, of which {scene.name} has none. Leave it out of --methods, or compare it on "
                "another scene."
            )


def _digest_photos(scene: ComparedScene) -> str:
    digest = sha256()
    for dataset in (scene.train, scene.test):
        for path in dataset.image_filenames:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        for values in (dataset.cameras.camera_to_worlds, dataset.cameras.get_intrinsics_matrices()):
            digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest_labels(scene: ComparedScene) -> str:
    digest = sha256(repr((scene.table.names, scene.table.colors)).encode())
    for dataset in (scene.train, scene.test):
        digest.update(repr(dataset.label_maps.labelled).encode())
        for path in _label_files(dataset):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _label_files(dataset: LabelledDataset) -> List[Path]:
    """Each file once: one may hold the labels of many photos."""
    return list(dict.fromkeys(label.path for label in dataset.label_maps.labels if label is not None))
