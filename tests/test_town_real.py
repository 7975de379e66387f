"""Towns with the faults of real flights: what photos and poses have of them, and that the truth has none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from scipy.ndimage import gaussian_filter

from nerfseg_ns.errors import UserError
from nerfseg_ns.geo.earth_studio import load_track
from nerfseg_ns.geometry.depth_rays import find_depth_rays
from nerfseg_ns.town.camera_faults import PhotoFaults, develop
from nerfseg_ns.town.cameras import METRES_PER_UNIT, intrinsics, plan_cameras
from nerfseg_ns.town.classes import Label
from nerfseg_ns.town.config import FaultsConfig, TownConfig
from nerfseg_ns.town.make import make_renderer, make_town
from nerfseg_ns.town.moment import HAZE_WIDTH, sun_offsets

LEAVES = FaultsConfig(leaf_size=1.0, groves=2)
"""Few large leaves, which are soon built."""
SMALL = TownConfig(
    image_size=48, train_views=5, validation_views=1, test_views=2, labelled_views=2, supersampling=1, views="nadir"
)
REAL = replace(SMALL, real=True, faults=LEAVES)
FAULTLESS = replace(LEAVES, exposure=0, blur=0, noise=0, pose_error=0)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_town(REAL, tmp_path_factory.mktemp("real") / "town")


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same leaves, sun and lens, but a perfect camera and true poses."""
    return make_town(replace(REAL, faults=FAULTLESS), tmp_path_factory.mktemp("faultless") / "town")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def _matrix(path: Path) -> np.ndarray:
    return np.array([float(number) for number in path.read_text().split()]).reshape(4, 4)


def _photos(town: Path) -> list[tuple[str, str]]:
    return [(path.parent.parent.name, path.stem) for path in sorted(town.glob("*/rgb/*.png"))]


def test_the_same_options_give_the_same_bytes(town: Path, tmp_path: Path) -> None:
    assert _files(make_town(REAL, tmp_path / "again")) == _files(town)


def test_without_real_the_faults_do_nothing(tmp_path: Path) -> None:
    config = replace(SMALL, train_views=2, image_size=16)
    plain = make_town(config, tmp_path / "plain")
    assert _files(make_town(replace(config, faults=FaultsConfig(exposure=3)), tmp_path / "other")) == _files(plain)
    assert not {"real", "faults"} & json.loads((plain / "town.json").read_text())["config"].keys()
    assert not list((plain / "truth").rglob("rgb")) and not (plain / "truth" / "faults.json").exists()


def test_the_truth_knows_nothing_of_the_cameras_faults(town: Path, faultless: Path) -> None:
    with_faults, without = _files(town), _files(faultless)
    assert with_faults.keys() == without.keys()
    kept = [name for name in without if name.startswith("truth") or "label" in name]
    assert {Path(name).parts[-2] for name in kept} >= {"label", "depth", "rgb", "pose", "map"}
    for name in set(kept) - {"truth/faults.json"}:
        assert with_faults[name] == without[name], name
    for split, stem in _photos(town):
        name = f"{split}/pose/{stem}.txt"
        assert without[name] == without[f"truth/{name}"] != with_faults[name]
        name = f"{split}/rgb/{stem}.png"
        true, photo, faulty = (
            _read(path).astype(int) for path in (town / "truth" / name, faultless / name, town / name)
        )
        assert np.abs(photo - true).max() <= 1  # of rounding
        assert np.abs(faulty - true).mean() > 2


def test_labels_and_depth_are_those_of_the_true_pose(town: Path) -> None:
    renderer, pose = make_renderer(REAL), _matrix(town / "truth/test/pose/0001.txt")
    np.testing.assert_allclose(pose[:3, 3] * METRES_PER_UNIT, plan_cameras(REAL)["test"][1, :3, 3])
    distortion = json.loads((town / "truth/faults.json").read_text())["lens_distortion"]
    view = renderer.view(plan_cameras(REAL)["test"][1], intrinsics(REAL), REAL.image_size, 1, distortion)
    np.testing.assert_array_equal(view.label, _read(town / "test/label/0001.png"))
    np.testing.assert_array_equal(view.depth / METRES_PER_UNIT, np.load(town / "truth/test/depth/0001.npy"))
    np.testing.assert_array_equal(view.rgb, _read(town / "truth/test/rgb/0001.png"))


def test_gains_are_those_of_the_truth(town: Path) -> None:
    photos = json.loads((town / "truth/faults.json").read_text())["photos"]
    assert {(split, stem) for split, names in photos.items() for stem in names} == set(_photos(town))
    exposures = []
    for split, stem in _photos(town):
        true = photos[split][stem]["gains"]
        light = (_read(town / f"truth/{split}/rgb/{stem}.png") / 255.0) ** 2.2
        photo = (_read(town / f"{split}/rgb/{stem}.png") / 255.0) ** 2.2
        unchanged = np.abs(gaussian_filter(light, (2, 2, 0)) / light - 1) < 0.08  # by blur
        plain = (unchanged & (light * true < 0.8)).all(axis=-1)
        assert plain.sum() > 20
        np.testing.assert_allclose(np.median(photo[plain] / light[plain], axis=0), true, rtol=0.05)
        exposures.append(true[1])
    assert 1.3 < max(exposures) / min(exposures) <= 2.0001


def test_a_camera_develops_light_not_display_values() -> None:
    grey = np.full((8, 8, 3), 0.5, np.float32)
    sharp = PhotoFaults(gains=(2.0, 1.0, 0.5), blur=0, motion=(0, 0), noise=0)
    photo = develop(grey, sharp, np.random.default_rng(0))
    np.testing.assert_array_equal(photo[0, 0], np.round(255 * 0.5 * np.array([2, 1, 0.5]) ** (1 / 2.2)))
    edge = np.zeros((9, 9, 3), np.float32)
    edge[:, 4] = 1
    shaken = develop(edge, replace(sharp, gains=(1, 1, 1), motion=(3, 0)), np.random.default_rng(0))
    assert (shaken[:, [1, 7]] == 0).all() and (shaken[:, 3:6] > 100).all() and (shaken[0] == shaken[8]).all()
    noisy = develop(np.repeat(grey, 40, axis=0), replace(sharp, noise=1.5), np.random.default_rng(0))
    assert 1.4 < (noisy[..., 1] - 127.5).std() < 1.7


def _moved(town: Path, split: str, stem: str) -> np.ndarray:
    """How far what each pixel truly shows is from where the written pose and camera see it, pixels [h, w]."""
    true, found = _matrix(town / f"truth/{split}/pose/{stem}.txt"), _matrix(town / f"{split}/pose/{stem}.txt")
    camera, depth = _matrix(town / f"{split}/intrinsics/{stem}.txt"), np.load(town / f"truth/{split}/depth/{stem}.npy")
    distortion = json.loads((town / "truth/faults.json").read_text())["lens_distortion"]
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    x, y = (columns - camera[0, 2]) / camera[0, 0], (rows - camera[1, 2]) / camera[1, 1]
    stretch = 1 + distortion * (x**2 + y**2)
    rays = np.stack([x * stretch, y * stretch, np.ones_like(x)], axis=-1)
    points = depth[..., None] * rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ true[:3, :3].T + true[:3, 3]
    local = (points - found[:3, 3]) @ found[:3, :3] @ camera[:3, :3].T
    return np.hypot(local[..., 0] / local[..., 2] - columns, local[..., 1] / local[..., 2] - rows)


def test_poses_are_half_a_pixel_wrong(town: Path) -> None:
    moved = [_moved(town, *photo) for photo in _photos(town)]
    assert 0.4 < np.median(moved) < 0.65
    assert len({round(float(np.median(one)), 3) for one in moved}) == len(moved)


def test_the_lens_bends_corners_by_a_third_of_a_pixel(faultless: Path) -> None:
    moved = _moved(faultless, "train", "0000")
    assert 0.26 < moved[0, 0] < 0.3 and moved[24, 24] < 0.01
    np.testing.assert_allclose(moved, moved[::-1, ::-1], atol=1e-3)


def test_of_an_earth_studio_scene_the_track_has_the_errors(town: Path, tmp_path: Path) -> None:
    scene = make_town(replace(REAL, layout="earth-studio", image_size=16), tmp_path / "scene")
    stems = [path.stem for path in sorted((scene / "footage").iterdir())]
    photos = json.loads((scene / "truth/faults.json").read_text())["photos"]
    assert [stem for names in photos.values() for stem in names] == stems
    true = np.array([_matrix(next((scene / "truth").glob(f"*/pose/{stem}.txt"))) for stem in stems])
    gaps = np.linalg.norm(load_track(scene / "town-0.json").poses[:, :3, 3] - true[:, :3, 3], axis=1)
    assert (gaps > 0.01).all() and np.median(gaps) < 10
    assert {path.stem for path in (scene / "truth").glob("*/rgb/*.png")} == set(stems)


def test_the_sun_is_a_disc_in_a_haze() -> None:
    far = np.degrees(np.arctan(np.linalg.norm(sun_offsets(np.random.default_rng(0), 20000, 0.5), axis=1)))
    assert 0.72 < (far < 0.2501).mean() < 0.8 and 1.5 < far.max() < 0.2501 * HAZE_WIDTH


def _matched_share(config: TownConfig, count: int = 5) -> float:
    """How much likelier than another pixel one of vegetation is matched, in photos next to each other."""
    renderer, camera, size = make_renderer(config), intrinsics(config), config.image_size
    poses = plan_cameras(config)["train"][:count]
    views = [renderer.view(pose, camera, size, config.supersampling) for pose in poses]
    to_world = torch.tensor(poses[:, :3] * np.array([1, -1, -1, 1]) / [1, 1, 1, METRES_PER_UNIT], dtype=torch.float32)
    cameras = Cameras(to_world, camera[0, 0], camera[1, 1], size / 2, size / 2, size, size)
    rays = find_depth_rays(SimpleNamespace(cameras=cameras, get_numpy_image=lambda index: views[index].rgb))
    photo = torch.cdist(rays.origins, to_world[:, :, 3]).argmin(dim=1)
    local = torch.einsum("nij,ni->nj", to_world[photo, :, :3], rays.directions).numpy()
    column = camera[0, 0] * local[:, 0] / -local[:, 2] + size / 2
    row = camera[0, 0] * local[:, 1] / local[:, 2] + size / 2
    labels = np.stack([view.label for view in views])
    matched = labels[photo.numpy(), row.astype(int).clip(0, size - 1), column.astype(int).clip(0, size - 1)]
    assert len(rays) > 1000
    return float((matched == Label.VEGETATION).mean() / (labels == Label.VEGETATION).mean())


@pytest.mark.slow
def test_crowns_of_leaves_are_hardly_matched() -> None:
    plain = TownConfig(image_size=400, views="nadir")
    leafy = replace(plain, real=True, faults=FaultsConfig(groves=0))
    smooth, leaves = _matched_share(plain), _matched_share(leafy)
    assert leaves < 0.4 * smooth, (leaves, smooth)


@pytest.mark.parametrize("faults", [dict(noise=-1.0), dict(leaf_size=0.01), dict(pose_error=float("nan"))])
def test_bad_faults_are_one_clear_error(tmp_path: Path, faults: dict) -> None:
    with pytest.raises(UserError, match=f"faults.{next(iter(faults))} is"):
        make_town(replace(REAL, faults=FaultsConfig(**faults)), tmp_path / "scene")
    assert list(tmp_path.iterdir()) == []
