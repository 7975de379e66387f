"""The built-in town: determinism, labels, poses and depth as written to disk."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.errors import UserError
from nerfseg_ns.town.cameras import METRES_PER_UNIT, intrinsics, plan_cameras
from nerfseg_ns.town.classes import Label
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.layout import build_town
from nerfseg_ns.town.make import make_town
from nerfseg_ns.town.render import Renderer

SMALL = TownConfig(image_size=32, train_views=3, validation_views=1, test_views=1, labelled_views=2, supersampling=1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A town of 128 pixels with few views."""
    config = TownConfig(seed=3, train_views=12, validation_views=4, test_views=6, labelled_views=3)
    return make_town(config, tmp_path_factory.mktemp("town") / "scene")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def _matrix(path: Path) -> np.ndarray:
    return np.array([float(number) for number in path.read_text().split()]).reshape(4, 4)


def _classes_in(folder: Path) -> set[int]:
    return set().union(*(np.unique(_read(path)).tolist() for path in folder.glob("*.png")))


def test_same_seed_same_bytes_other_seed_other_pictures(tmp_path: Path) -> None:
    first, second = _files(make_town(SMALL, tmp_path / "a")), _files(make_town(SMALL, tmp_path / "b"))
    other = _files(make_town(replace(SMALL, seed=1), tmp_path / "c"))
    assert first == second
    assert first.keys() == other.keys()
    for name in ("train/rgb/0000.png", "train/pose/0000.txt", "truth/test/depth/0000.npy", "test/label/0000.png"):
        assert first[name] != other[name]


def test_layout_of_the_files(tmp_path: Path) -> None:
    scene = make_town(SMALL, tmp_path / "scene")
    stems = {"train": ["0000", "0001", "0002"], "validation": ["0000"], "test": ["0000"]}
    expected = {"classes.json", "town.json"}
    for split, names in stems.items():
        labelled = ["0000", "0002"] if split == "train" else names
        expected |= {f"{split}/{kind}/{stem}.png" for kind, of in (("rgb", names), ("label", labelled)) for stem in of}
        expected |= {f"{split}/{kind}/{stem}.txt" for kind in ("pose", "intrinsics") for stem in names}
        expected |= {f"truth/{split}/depth/{stem}.npy" for stem in names}
    expected |= {f"truth/train/label/{stem}.png" for stem in stems["train"]}
    expected |= {f"truth/map/{name}.tif" for name in ("labels", "dsm", "ortho")}
    assert _files(scene).keys() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]
    rgb, label = Image.open(scene / "test/rgb/0000.png"), Image.open(scene / "test/label/0000.png")
    assert (rgb.mode, rgb.size, label.mode, label.size) == ("RGB", (32, 32), "L", (32, 32))
    depth = np.load(scene / "truth/test/depth/0000.npy")
    assert (depth.dtype, depth.shape) == (np.float32, (32, 32))


def test_classes_file_has_carla_names_and_colors(scene: Path) -> None:
    found = json.loads((scene / "classes.json").read_text())
    colors = {entry["name"]: tuple(entry["color"]) for entry in found["classes"]}
    assert found["ignore_index"] == 255
    assert len(colors) == len(Label) == 12
    assert colors["Road"] == (128, 64, 128) and colors["SideWalk"] == (244, 35, 232)
    assert [entry["name"].upper() for entry in found["classes"]] == [label.name for label in Label]


@pytest.mark.parametrize("folder", ["train/label", "truth/train/label", "validation/label", "test/label"])
def test_all_classes_in_every_split(scene: Path, folder: str) -> None:
    assert _classes_in(scene / folder) == set(Label)


@pytest.mark.parametrize("seed", [0, 1, 2, 11])
def test_all_classes_in_few_views_of_other_seeds(tmp_path: Path, seed: int) -> None:
    config = TownConfig(seed=seed, train_views=4, validation_views=4, test_views=4, supersampling=1)
    scene = make_town(config, tmp_path / "scene")
    for folder in ("train/label", "validation/label", "test/label"):
        assert _classes_in(scene / folder) == set(Label), f"seed {seed}, {folder}"


def test_given_labels_are_the_truth(scene: Path) -> None:
    given = sorted((scene / "train/label").glob("*.png"))
    assert [path.stem for path in given] == ["0002", "0006", "0010"]
    for path in given:
        assert path.read_bytes() == (scene / "truth/train/label" / path.name).read_bytes()


def test_labelled_views_are_spread_evenly() -> None:
    assert evenly_spaced_indices(40, 4) == [5, 15, 25, 35]
    assert evenly_spaced_indices(3, 3) == [0, 1, 2]


def test_sky_is_where_depth_is_infinite(scene: Path) -> None:
    for path in (scene / "test/label").glob("*.png"):
        depth = np.load(scene / "truth/test/depth" / f"{path.stem}.npy")
        np.testing.assert_array_equal(_read(path) == Label.SKY, np.isinf(depth))


def _points(scene: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """World points [n, 3] and labels [n] of a training view's pixels, from nothing but the files."""
    pose, camera = _matrix(scene / f"train/pose/{stem}.txt"), _matrix(scene / f"train/intrinsics/{stem}.txt")
    depth, label = np.load(scene / f"truth/train/depth/{stem}.npy"), _read(scene / f"truth/train/label/{stem}.png")
    rows, columns = np.nonzero(np.isfinite(depth))
    rays = np.column_stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) @ np.linalg.inv(camera[:3, :3]).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return depth[rows, columns, None] * rays @ pose[:3, :3].T + pose[:3, 3], label[rows, columns]


def test_depth_pose_and_intrinsics_agree_between_views(scene: Path) -> None:
    """Points seen in one view, projected into its neighbour: same distance and class wherever they are not hidden."""
    points, labels = _points(scene, "0000")
    pose, camera = _matrix(scene / "train/pose/0001.txt"), _matrix(scene / "train/intrinsics/0001.txt")
    depth, label = np.load(scene / "truth/train/depth/0001.npy"), _read(scene / "truth/train/label/0001.png")
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    pixels = np.floor((local @ camera[:3, :3].T)[:, :2] / local[:, 2:]).astype(int)
    inside = (local[:, 2] > 0) & ((pixels >= 0) & (pixels < 128)).all(axis=1)
    assert inside.mean() > 0.4
    distance, found = np.linalg.norm(local[inside], axis=1), depth[pixels[inside, 1], pixels[inside, 0]]
    visible = distance < 1.03 * found
    close = np.abs(distance - found)[visible] < 0.02 * distance[visible]
    assert visible.mean() > 0.6
    assert close.mean() > 0.9
    same = labels[inside][visible] == label[pixels[inside, 1], pixels[inside, 0]][visible]
    assert same[close].mean() > 0.85


def test_poses_are_rigid_inside_the_unit_sphere_and_clear_of_the_town(scene: Path) -> None:
    for split in ("train", "validation", "test"):
        for path in sorted((scene / split / "pose").glob("*.txt")):
            pose = _matrix(path)
            np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-9)
            assert np.linalg.det(pose[:3, :3]) > 0
            assert np.linalg.norm(pose[:3, 3]) < 0.9
            assert np.load(scene / "truth" / split / "depth" / f"{path.stem}.npy").min() * METRES_PER_UNIT > 8


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("views", ["orbit", "nadir", "mixed"])
def test_flights_of_every_size_have_their_views_inside_the_sphere(seed: int, views: str) -> None:
    for count in (1, 5, 40, 101):
        config = TownConfig(seed=seed, views=views, train_views=count, validation_views=count, test_views=count)
        for poses in plan_cameras(config).values():
            assert poses.shape == (count, 4, 4)
            assert np.linalg.norm(poses[:, :3, 3], axis=1).max() < 0.9 * METRES_PER_UNIT
            assert poses[:, 2, 3].min() > 40


def test_nadir_views_have_no_sky_and_every_other_class(tmp_path: Path) -> None:
    scene = make_town(TownConfig(views="nadir", train_views=9, test_views=9, supersampling=1), tmp_path / "scene")
    for folder in ("truth/train/label", "test/label"):
        assert _classes_in(scene / folder) == set(Label) - {Label.SKY}


def test_image_size_does_not_change_the_town() -> None:
    """A view at twice the size: every second pixel's neighbourhood shows the same classes."""
    config = TownConfig(image_size=64, train_views=1, labelled_views=1)
    renderer, pose = Renderer(build_town(config.seed), config.seed), plan_cameras(config)["train"][0]
    small = renderer.view(pose, intrinsics(config), 64, 1)
    large = renderer.view(pose, intrinsics(replace(config, image_size=192)), 192, 1)
    # of 3 x 3 small pixels, the middle one has the very same ray
    np.testing.assert_array_equal(small.label, large.label[1::3, 1::3])
    seen = np.isfinite(small.depth)
    np.testing.assert_allclose(small.depth[seen], large.depth[1::3, 1::3][seen], rtol=1e-4)


def test_easy_town_is_the_same_town_in_colors_that_give_the_class_away(tmp_path: Path) -> None:
    def hue(folder: Path) -> dict[int, np.ndarray]:
        """Mean chromaticity of each class, of its pixels that touch no other class."""
        colors: dict[int, list] = {}
        for path in sorted((folder / "truth/train/label").iterdir()):
            label = _read(path)
            around = [np.roll(label, shift, axis) for axis in (0, 1) for shift in (-1, 1)]
            inside = np.all([label == other for other in around], axis=0)
            linear = (_read(folder / "train/rgb" / path.name) / 255.0) ** 2.2 + 1e-3
            for index in np.unique(label[inside]):
                chosen = linear[inside & (label == index)]
                colors.setdefault(int(index), []).append(chosen / chosen.sum(axis=1, keepdims=True))
        return {index: np.concatenate(values) for index, values in colors.items() if index != Label.SKY}

    config = replace(SMALL, image_size=96, train_views=4)
    plain, easy = make_town(config, tmp_path / "plain"), make_town(replace(config, easy=True), tmp_path / "easy")
    for name, content in _files(plain).items():
        assert ("rgb" in name or name in ("town.json", "truth/map/ortho.tif")) or _files(easy)[name] == content
    spreads = {}
    for folder in (plain, easy):
        hues = hue(folder)
        means = np.stack([values.mean(axis=0) for values in hues.values()])
        right = [
            (np.linalg.norm(values[:, None] - means, axis=-1).argmin(axis=1) == row).mean()
            for row, values in enumerate(hues.values())
        ]
        spreads[folder.name] = np.mean(right)
    assert spreads["easy"] > 0.9 > 0.6 > spreads["plain"]


def test_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="something else already"):
        make_town(SMALL, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert list(tmp_path.parent.glob(f".{tmp_path.name}.*")) == []


def test_reuses_the_same_town_and_refuses_another(tmp_path: Path) -> None:
    scene = make_town(SMALL, tmp_path / "scene")
    stamp = (scene / "town.json").stat().st_mtime_ns
    assert make_town(SMALL, scene) == scene
    assert (scene / "town.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="something else already"):
        make_town(replace(SMALL, seed=9), scene)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr("nerfseg_ns.town.make._write_view", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        make_town(SMALL, tmp_path / "scene")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labelled_views": 4}, "only 3 training views"),
        ({"labelled_views": 0}, "labelled_views is 0"),
        ({"image_size": 2}, "image_size is 2"),
        ({"field_of_view": 170.0}, "field_of_view"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_options_are_one_clear_error(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_town(replace(SMALL, **change), tmp_path / "scene")
    assert list(tmp_path.iterdir()) == []


def test_the_config_imports_nothing_heavy() -> None:
    code = "import sys, nerfseg_ns.town.config; print([m for m in ('torch', 'trimesh', 'numpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
