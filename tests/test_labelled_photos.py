"""The dataparser of own photos (transforms.json) with labels."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.scenes import HEIGHT, WIDTH, label_array, save_image, write_photos
from nerfstudio.cameras.cameras import CameraType

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotosDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.geometry.ground_plane import ground_rotation, plane_normal
from nerfseg_ns.labels.classes import IGNORE_INDEX

BRIGHTON_BEACH = Path(__file__).parents[2] / "shared" / "data" / "brighton_beach"


def load(data, split="train", **options):
    return LabelledPhotosDataParserConfig(data=data, **options).setup().get_dataparser_outputs(split)


def stems(outputs):
    return [path.stem for path in outputs.image_filenames]


def write_points(root, normal=(0.0, 0.0, 1.0), count=400):
    """A ground plane through (0, 0, 1) with a tenth of the points off it, as ASCII PLY."""
    random = np.random.default_rng(0)
    basis = np.linalg.svd(np.array([normal]))[2]
    points = random.uniform(-2, 2, (count, 2)) @ basis[1:] + [0, 0, 1]
    points[::10] -= np.outer(random.uniform(0.5, 2, len(points[::10])), normal)
    header = f"ply\nformat ascii 1.0\nelement vertex {count}\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz")
    header += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue")) + "end_header\n"
    (root / "points.ply").write_text(header + "".join("{} {} {} 10 20 30\n".format(*point) for point in points))
    return points


# Splits


def test_all_photos_are_trained_on_unless_asked_otherwise(tmp_path):
    write_photos(tmp_path, photos=20, labelled=(4, 11))
    for split in ("train", "val", "test"):
        outputs = load(tmp_path, split)
        assert stems(outputs) == [f"p{index:02d}" for index in range(20)]
        assert outputs.metadata["semantics"].labelled == (4, 11)


def test_labelled_photos_are_trained_on_and_every_photo_is_in_train_or_test(tmp_path):
    write_photos(tmp_path, photos=20, labelled=(4, 11))
    train, val, test = (load(tmp_path, split, eval_mode="interval") for split in ("train", "val", "test"))
    # Of the 18 unlabelled photos the 4th and the 12th, from 0: photos 5 (4 is labelled) and 14 (11 is too).
    assert stems(test) == ["p05", "p14"] == stems(val)
    assert sorted(stems(train) + stems(test)) == [f"p{index:02d}" for index in range(20)]
    labelled = [stems(train)[index] for index in train.metadata["semantics"].labelled]
    assert labelled == ["p04", "p11"] and test.metadata["semantics"].labelled == ()
    assert len(train.cameras) == len(train.image_filenames) == 18 and len(test.cameras) == 2


@pytest.mark.parametrize("eval_mode", ["interval", "fraction", "all"])
@pytest.mark.parametrize("labelled", [(0,), (3, 4), tuple(range(11)), tuple(range(12))])
def test_no_mode_loses_a_label_or_leaves_nothing_to_evaluate(tmp_path, eval_mode, labelled):
    write_photos(tmp_path, photos=12, labelled=labelled)
    train, test = (load(tmp_path, split, eval_mode=eval_mode) for split in ("train", "test"))
    assert len(train.metadata["semantics"].labelled) == len(labelled)
    assert test.image_filenames and set(stems(train)) | set(stems(test)) == {f"p{index:02d}" for index in range(12)}


def test_lists_of_the_file_win(tmp_path):
    names = [f"images/p{index:02d}.png" for index in range(12)]
    write_photos(tmp_path, labelled=(0, 11), train_filenames=names[:9], test_filenames=names[9:])
    train, val, test = (load(tmp_path, split) for split in ("train", "val", "test"))
    assert len(train.image_filenames) == 9 and train.metadata["semantics"].labelled == (0,)
    assert stems(test) == stems(val) == ["p09", "p10", "p11"] and test.metadata["semantics"].labelled == (2,)


def test_lists_without_a_labelled_photo_to_train_on(tmp_path):
    names = [f"images/p{index:02d}.png" for index in range(12)]
    write_photos(tmp_path, labelled=(11,), train_filenames=names[:9], test_filenames=names[9:])
    with pytest.raises(UserError, match="None of the photos listed for training"):
        load(tmp_path)


# Poses


def test_up_is_away_from_the_ground_and_cameras_are_in_the_unit_sphere(tmp_path):
    train, test = (load(write_photos(tmp_path), split, eval_mode="interval") for split in ("train", "test"))
    poses = torch.cat([train.cameras.camera_to_worlds, test.cameras.camera_to_worlds])
    # All photos look along the file's +z: that is down, so they look along -z afterwards.
    torch.testing.assert_close(poses[:, :, 2], torch.tensor([[0.0, 0.0, 1.0]]).expand(12, 3))
    assert float(poses[:, :, 3].norm(dim=-1).max()) == pytest.approx(1 / 1.1, abs=1e-6)
    torch.testing.assert_close(poses[:, :, :3].transpose(1, 2) @ poses[:, :, :3], torch.eye(3).expand(12, 3, 3))


def test_the_stored_transform_takes_the_files_poses_to_the_outputs(tmp_path):
    write_photos(tmp_path)
    outputs = load(tmp_path, eval_mode="all", scale_factor=0.5)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    original = torch.tensor([frame["transform_matrix"] for frame in frames])
    back = outputs.transform_poses_to_original_space(outputs.cameras.camera_to_worlds, camera_convention="opengl")
    torch.testing.assert_close(back, original[:, :3], atol=1e-5, rtol=0)


def test_points_follow_the_cameras_and_set_the_ground(tmp_path):
    write_photos(tmp_path, ply_file_path="points.ply")
    normal = np.array([0.3, -0.2, 1.0]) / np.linalg.norm([0.3, -0.2, 1.0])
    points = write_points(tmp_path, normal)
    outputs = load(tmp_path)
    found = outputs.metadata["points3D_xyz"]
    transform, scale = outputs.dataparser_transform, outputs.dataparser_scale
    expected = (torch.from_numpy(points).float() @ transform[:, :3].T + transform[:, 3]) * scale
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    on_ground = torch.ones(len(found), dtype=torch.bool)
    on_ground[::10] = False
    assert float(found[on_ground, 2].std()) < 1e-3 and float(found[on_ground, 2].mean()) < 0
    assert outputs.metadata["points3D_rgb"].tolist() == [[10, 20, 30]] * len(points)
    assert "points3D_xyz" not in load(tmp_path, load_3D_points=False).metadata


def test_plane_normal_against_the_truth_under_noise_and_outliers():
    generator = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
    points = torch.randn(500, 3, generator=generator)
    points -= (points @ normal)[:, None] * normal * (1 - 0.005)
    points[:100] += normal * torch.rand(100, 1, generator=generator) * 3
    assert abs(float(plane_normal(points) @ normal)) > 0.9999


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0, -1, 0), (0.5, 0.5, 0.7071)])
def test_ground_rotation_is_a_rotation_for_every_direction(up):
    up = torch.nn.functional.normalize(torch.tensor(up, dtype=torch.float32), dim=0)
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, :3, 2] = up
    rotation = ground_rotation(poses, None)
    torch.testing.assert_close(rotation @ up, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1)


@pytest.mark.parametrize("method", ["pca", "up", "vertical", "none"])
def test_nerfstudios_orientations_still_work(tmp_path, method):
    options = {"orientation_method": method, "center_method": "none", "auto_scale_poses": False}
    outputs = load(write_photos(tmp_path), **options, scale_factor=0.25)
    assert torch.isfinite(outputs.cameras.camera_to_worlds).all() and outputs.dataparser_scale == 0.25
    with pytest.raises(UserError, match="outside the unit sphere"):
        load(tmp_path, **options)


# Labels


def test_labels_of_photos_that_are_loaded_scaled_down(tmp_path):
    write_photos(tmp_path)
    for path in (tmp_path / "images").iterdir():
        save_image(tmp_path / "images_2" / path.name, np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8))
    dataset = LabelledDataset(load(tmp_path, downscale_factor=2))
    item = dataset[0]
    assert item["image"].shape == (HEIGHT // 2, WIDTH // 2, 3)
    assert np.array_equal(item["semantics"][..., 0].numpy(), label_array(0)[1::2, 1::2])


def test_a_frame_names_its_own_label(tmp_path):
    write_photos(tmp_path)
    save_image(tmp_path / "drawn" / "mine.png", label_array(7))
    meta = json.loads((tmp_path / "transforms.json").read_text())
    meta["frames"][3]["label_path"] = "drawn/mine.png"
    (tmp_path / "transforms.json").write_text(json.dumps(meta))
    dataset = LabelledDataset(load(tmp_path))
    assert [stems(load(tmp_path))[index] for index in dataset.label_maps.labelled] == ["p00", "p03", "p05"]
    assert np.array_equal(dataset[dataset.label_maps.labelled[1]]["semantics"][..., 0].numpy(), label_array(7))


# Cameras


def test_distortion_and_camera_model_reach_the_cameras(tmp_path):
    lens = {"k1": 0.1, "k2": -0.02, "k3": 0.003, "k4": 0.0004}
    write_photos(tmp_path, camera_model="OPENCV_FISHEYE", **lens)
    cameras = load(tmp_path).cameras
    assert (cameras.camera_type == CameraType.FISHEYE.value).all()
    assert cameras.distortion_params[0].tolist() == pytest.approx([*lens.values(), 0, 0])


def test_each_photo_may_have_its_own_camera(tmp_path):
    write_photos(tmp_path)
    meta = json.loads((tmp_path / "transforms.json").read_text())
    camera = {key: meta.pop(key) for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")}
    for index, frame in enumerate(meta["frames"]):
        frame.update(camera, fl_x=10.0 + index)
    frame.update(w=6, h=4, cx=3, cy=2)
    save_image(tmp_path / frame["file_path"], np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "transforms.json").write_text(json.dumps(meta))
    cameras = load(tmp_path, eval_mode="all").cameras
    assert cameras.fx[:, 0].tolist() == [10.0 + index for index in range(12)]
    assert cameras.width[:, 0].tolist() == [12] * 11 + [6]


# Georeference


def test_a_georeferenced_scene_keeps_up_and_metres(tmp_path):
    origin = {"latitude": 47.0, "longitude": 8.0, "altitude": 400.0}
    write_photos(tmp_path, georeference={"origin": origin})
    outputs = load(tmp_path, eval_mode="all")
    georeference = outputs.metadata["georeference"]
    assert (georeference.frame.latitude, georeference.frame.longitude) == (47.0, 8.0)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    metres = np.array([frame["transform_matrix"] for frame in frames])[:, :3, 3]
    positions = outputs.cameras.camera_to_worlds[..., 3].numpy()
    np.testing.assert_allclose(georeference.to_local(positions), metres, atol=1e-5)
    # The cameras look along the file's +z, which the ground's method would call down; metres say that it is up.
    torch.testing.assert_close(outputs.cameras.camera_to_worlds[:, :, 2], torch.tensor([[0.0, 0, -1]]).expand(12, 3))


# The real scene


@pytest.mark.skipif(not BRIGHTON_BEACH.is_dir(), reason="the scene brighton_beach is not beside the repository")
def test_brighton_beach():
    train, test = (load(BRIGHTON_BEACH, split, eval_mode="interval") for split in ("train", "test"))
    assert len(train.image_filenames) == 16 and len(test.image_filenames) == 2
    maps = train.metadata["semantics"]
    assert [stems(train)[index] for index in maps.labelled] == ["DJI_0024", "DJI_0031"]
    item = LabelledDataset(train)[maps.labelled[1]]
    counts = torch.bincount(item["semantics"].flatten().long(), minlength=256)
    assert counts[:7].tolist() == [51326, 107390, 62035, 11455, 35342, 3071, 2983] and counts[IGNORE_INDEX] == 86398
    poses, points = train.cameras.camera_to_worlds, train.metadata["points3D_xyz"]
    assert points.shape == (4932, 3) and torch.isfinite(poses).all()
    # Nadir photos over flat ground: the ground is a thin slab below cameras that look down at it.
    low, high = points[:, 2].quantile(torch.tensor([0.02, 0.98]))
    assert high < poses[:, 2, 3].min() and high - low < 0.2 * (points[:, 0].max() - points[:, 0].min())
    assert (poses[:, 2, 2] > 0.98).all() and float(poses[:, :, 3].norm(dim=-1).max()) < 1
