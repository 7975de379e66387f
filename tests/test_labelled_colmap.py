"""Own photos with a COLMAP model and no transforms.json."""

import json

import numpy as np
import pytest
import torch
from helpers.scenes import HEIGHT, WIDTH, label_array, save_image, write_photos
from scipy.spatial.transform import Rotation

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.labelled_colmap import LabelledColmap
from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotos, LabelledPhotosDataParserConfig
from nerfseg_ns.errors import UserError


def write_colmap(root, folder="colmap/sparse/0", camera="OPENCV 12 8 10 11 6 4 0.1 0.01 0.001 0.002"):
    """The scene of `write_photos` as a COLMAP model, with a plane of points; returns the poses [n, 4, 4] (OpenGL)."""
    write_photos(root)
    frames = json.loads((root / "transforms.json").read_text())["frames"]
    (root / "transforms.json").unlink()
    model = root / folder
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text(f"1 {camera}\n")
    lines, poses = [], np.array([frame["transform_matrix"] for frame in frames])
    for index, (frame, pose) in enumerate(zip(frames, poses)):
        world_to_camera = np.linalg.inv(pose @ np.diag([1, -1, -1, 1]))  # COLMAP: OpenCV axes, world to camera
        x, y, z, w = Rotation.from_matrix(world_to_camera[:3, :3]).as_quat()
        numbers = [w, x, y, z, *world_to_camera[:3, 3]]
        lines += [" ".join(map(repr, map(float, numbers))), ""]
        lines[-2] = f"{index + 1} {lines[-2]} 1 {frame['file_path'].removeprefix('images/')}"
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    points = np.random.default_rng(0).uniform(-2, 2, (200, 2))
    rows = [f"{i + 1} {x} {y} 1.0 10 20 30 0.5 1 0" for i, (x, y) in enumerate(points)]
    (model / "points3D.txt").write_text("\n".join(rows) + "\n")
    return poses


def parser(data, **options):
    return LabelledPhotosDataParserConfig(data=data, **options).setup()


@pytest.mark.parametrize("folder", ["colmap/sparse/0", "sparse/0", "sparse"])
def test_a_model_is_found_and_gives_its_poses_back(tmp_path, folder):
    poses = write_colmap(tmp_path, folder)
    colmap = parser(tmp_path)
    assert isinstance(colmap, LabelledColmap)
    outputs = colmap.get_dataparser_outputs("train")
    stems = [path.stem for path in outputs.image_filenames]
    expected = torch.tensor(poses[[int(stem[1:]) for stem in stems], :3]).float()
    back = outputs.transform_poses_to_original_space(outputs.cameras.camera_to_worlds, camera_convention="opengl")
    torch.testing.assert_close(back, expected, atol=1e-5, rtol=0)
    assert [stems[index] for index in outputs.metadata["semantics"].labelled] == ["p00", "p05"]


def test_up_scale_points_and_lens(tmp_path):
    write_colmap(tmp_path)
    outputs = parser(tmp_path, eval_mode="all").get_dataparser_outputs("train")
    cameras, points = outputs.cameras, outputs.metadata["points3D_xyz"]
    # All photos look at the plane of points, which is the ground: straight down, then.
    torch.testing.assert_close(cameras.camera_to_worlds[:, :, 2], torch.tensor([[0.0, 0, 1]]).expand(12, 3))
    assert float(points[:, 2].std()) < 1e-5 and float(points[0, 2]) < float(cameras.camera_to_worlds[:, 2, 3].min())
    assert float(cameras.camera_to_worlds[..., 3].norm(dim=-1).max()) == pytest.approx(1 / 1.1, abs=1e-6)
    assert cameras.fy[0].item() == 11 and cameras.distortion_params[0, :2].tolist() == pytest.approx([0.1, 0.01])


def test_transforms_json_comes_first(tmp_path):
    write_colmap(tmp_path)
    write_photos(tmp_path)
    assert isinstance(parser(tmp_path), LabelledPhotos)


def test_photos_scaled_down_with_labels_at_full_size(tmp_path):
    write_colmap(tmp_path)
    for path in (tmp_path / "images").iterdir():
        save_image(tmp_path / "images_2" / path.name, np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8))
    dataset = LabelledDataset(parser(tmp_path, downscale_factor=2).get_dataparser_outputs("train"))
    assert dataset[0]["image"].shape == (HEIGHT // 2, WIDTH // 2, 3) and dataset.cameras.fx[0].item() == 5
    assert np.array_equal(dataset[0]["semantics"][..., 0].numpy(), label_array(0)[1::2, 1::2])


def test_lists_of_photos(tmp_path):
    write_colmap(tmp_path)
    (tmp_path / "train_list.txt").write_text("p00.png\np01.png\np02.png\n")
    (tmp_path / "test_list.txt").write_text("p05.png\np06.png\n")
    colmap = parser(tmp_path)
    train, test = (colmap.get_dataparser_outputs(split) for split in ("train", "test"))
    assert len(train.image_filenames) == 3 and len(train.cameras) == 3
    assert [path.stem for path in test.image_filenames] == ["p05", "p06"]
    assert test.metadata["semantics"].labelled == (0,)
    (tmp_path / "test_list.txt").write_text("p99.png\n")
    with pytest.raises(UserError, match="test_list.txt names .*p99.png, which is not in the COLMAP model"):
        parser(tmp_path).get_dataparser_outputs("test")


def test_a_camera_model_that_nerfstudio_has_not(tmp_path):
    write_colmap(tmp_path, camera="THIN_PRISM_FISHEYE 12 8 10 10 6 4 0 0 0 0 0 0 0 0")
    with pytest.raises(UserError, match="Cannot read the COLMAP model"):
        parser(tmp_path).get_dataparser_outputs("train")
