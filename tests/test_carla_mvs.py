"""The Carla-MVS dataparser and the labelled dataset on it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.scenes import (
    HEIGHT,
    TABLE,
    WIDTH,
    label_array,
    look_down,
    noise,
    save_image,
    save_matrix,
    write_second_tree,
    write_tree,
)
from PIL import Image

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.palettes import PALETTES


def encodings(maps) -> set:
    """How the label files of a split encode classes."""
    return {label.encoding for label in maps.labels if label is not None}


def load(data, split="train", **options):
    return CarlaMVSDataParserConfig(data=data, **options).setup().get_dataparser_outputs(split)


def test_one_tree_with_labels_beside_the_photos(tmp_path):
    outputs = load(write_tree(tmp_path))
    assert [path.stem for path in outputs.image_filenames] == ["0000", "0001", "0002", "0003"]
    maps = outputs.metadata["semantics"]
    assert maps.labelled == (0, 2) and maps.table == TABLE and encodings(maps) == {"index"}
    assert np.array_equal(maps.read(2, HEIGHT, WIDTH)[..., 0].numpy(), label_array(2))
    assert (maps.read(1, HEIGHT, WIDTH) == IGNORE_INDEX).all()
    assert torch.equal(outputs.dataparser_transform, torch.eye(4)[:3]) and outputs.dataparser_scale == 1.0
    assert outputs.scene_box.aabb.tolist() == [[-1, -1, -1], [1, 1, 1]]


def test_another_label_folder(tmp_path):
    write_tree(tmp_path)
    save_image(tmp_path / "train" / "more" / "0001.png", label_array(1))
    assert load(tmp_path, label_folder="more").metadata["semantics"].labelled == (1,)


@pytest.mark.parametrize("with_folder", [True, False])
def test_a_pair_of_trees(tmp_path, with_folder):
    first = write_tree(tmp_path / "first", classes_file=False)
    second = write_second_tree(tmp_path / "second", views=(1, 3))
    TABLE.save((first if with_folder else second) / "classes.json")
    maps = load(first, labels_data=second).metadata["semantics"]
    assert maps.labelled == (1, 3) and encodings(maps) == {"index"}
    for index in (1, 3):
        assert np.array_equal(maps.read(index, HEIGHT, WIDTH)[..., 0].numpy(), label_array(index))
    assert load(first, "test", labels_data=second).metadata["semantics"].labelled == ()


def test_a_pair_of_trees_takes_its_classes_from_a_named_palette(tmp_path):
    first = write_tree(tmp_path / "first", classes_file=False)
    second = write_second_tree(tmp_path / "second")
    maps = load(first, labels_data=second, palette="carla-mvs-20").metadata["semantics"]
    assert maps.table == PALETTES["carla-mvs-20"] and encodings(maps) == {"index"}
    with pytest.raises(UserError, match="hold class indices, .* choose one with --palette"):
        load(first, labels_data=second)


def test_second_tree_of_palette_mode_pngs(tmp_path):
    first, second = write_tree(tmp_path / "first"), write_second_tree(tmp_path / "second")
    for index in (1, 3):
        image = Image.fromarray(label_array(index), mode="P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(second / "train" / "rgb" / f"{index:04d}.png")
    maps = load(first, labels_data=second).metadata["semantics"]
    assert np.array_equal(maps.read(3, HEIGHT, WIDTH)[..., 0].numpy(), label_array(3))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_color_labels_find_their_palette(tmp_path, order):
    write_tree(tmp_path, labelled=(), classes_file=False)
    shutil.rmtree(tmp_path / "test" / "label")
    table = PALETTES["carla-mvs-20"]
    colors = table.color_array if order == "rgb" else table.color_array[:, ::-1]
    labels = label_array(0, classes=12)
    save_image(tmp_path / "train" / "label" / "0003.png", np.ascontiguousarray(colors[labels]))
    maps = load(tmp_path).metadata["semantics"]
    assert maps.table == table and encodings(maps) == {order}
    assert np.array_equal(maps.read(3, HEIGHT, WIDTH)[..., 0].numpy(), labels)


def test_axes_of_a_pose_worked_out_by_hand(tmp_path):
    write_tree(tmp_path)
    # A camera at (0.2, 0.3, 0.4) that looks along world +x with world +z up. OpenCV columns: right is world -y,
    # down is world -z, forward is world +x.
    pose = np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0.3], [0, -1, 0, 0.4], [0, 0, 0, 1]])
    save_matrix(tmp_path / "train" / "pose" / "0001.txt", pose)
    cameras = load(tmp_path).cameras
    # nerfstudio (OpenGL) columns: right -y, up +z, backward -x.
    expected = [[0, 0, -1, 0.2], [-1, 0, 0, 0.3], [0, 1, 0, 0.4]]
    torch.testing.assert_close(cameras.camera_to_worlds[1], torch.tensor(expected))
    # The ray through the principal point leaves along world +x, a pixel further right points towards -y.
    coords = torch.tensor([[4.5, 5.5], [4.5, 6.5]])  # row, column
    directions = cameras.generate_rays(camera_indices=1, coords=coords).directions
    torch.testing.assert_close(directions[0], torch.tensor([1.0, 0.0, 0.0]))
    assert directions[1, 1] < -0.05 and abs(directions[1, 2]) < 1e-6


def test_every_view_keeps_its_own_intrinsics(tmp_path):
    cameras = load(write_tree(tmp_path)).cameras
    assert cameras.fx[:, 0].tolist() == [10, 11, 12, 13] and cameras.fy[:, 0].tolist() == [11, 12, 13, 14]
    assert cameras.cx[:, 0].tolist() == [5.5] * 4 and cameras.cy[:, 0].tolist() == [4.5] * 4
    assert cameras.width[:, 0].tolist() == [WIDTH] * 4 and cameras.height[:, 0].tolist() == [HEIGHT] * 4


@pytest.mark.parametrize(
    ("missing", "expected"),
    [(None, {"val": "validation", "test": "test"}), ("validation", {"val": "test"}), ("test", {"test": "validation"})],
)
def test_splits_as_given_and_what_stands_in(tmp_path, missing, expected):
    write_tree(tmp_path)
    if missing:
        shutil.rmtree(tmp_path / missing)
    for split, folder in expected.items():
        assert {path.parent.parent.name for path in load(tmp_path, split).image_filenames} == {folder}


def test_files_of_another_naming_pair_up_by_sorted_order(tmp_path):
    write_tree(tmp_path)
    for path in (tmp_path / "train" / "pose").iterdir():
        path.rename(path.with_name(f"cam_{path.name}"))
    outputs = load(tmp_path)
    torch.testing.assert_close(outputs.cameras.camera_to_worlds[:, 0, 3], torch.tensor([0.0, 0.1, 0.2, 0.3]))


# Mistakes: what is done to a good scene, and what the user is told


def replace_pose(change):
    def spoil(root):
        pose = look_down(0.2, 0.0)
        change(pose)
        save_matrix(root / "train" / "pose" / "0002.txt", pose)

    return spoil


def scale_rotation(pose):
    pose[:3, :3] *= 1.5


def mirror(pose):
    pose[:3, 0] *= -1


def transpose(pose):
    pose[:] = pose.T.copy()


def far_away(pose):
    pose[:3, 3] = 0, 0, 2.5


def write(name, text):
    return lambda root: (root / "train" / name).write_text(text)


def drop(name):
    return lambda root: (root / "train" / name).unlink()


def no_labels(root):
    shutil.rmtree(root / "train" / "label")


def small_photo(root):
    save_image(root / "test" / "rgb" / "0007.png", noise(0)[:4, :8])
    intrinsics = np.eye(4)
    intrinsics[:2, 2] = 4, 2
    save_matrix(root / "test" / "intrinsics" / "0007.txt", intrinsics)


def far_intrinsics(root):
    intrinsics = np.eye(4)
    intrinsics[:2, 2] = 256, 256
    save_matrix(root / "train" / "intrinsics" / "0002.txt", intrinsics)


def skewed(root):
    intrinsics = np.eye(4)
    intrinsics[0, 1] = 0.5
    save_matrix(root / "train" / "intrinsics" / "0002.txt", intrinsics)


def renamed_pose(root):
    (root / "train" / "pose" / "0002.txt").rename(root / "train" / "pose" / "0009.txt")


def wrong_index(root):
    labels = label_array(0)
    labels[1, 2] = 7
    save_image(root / "test" / "label" / "0006.png", labels)


def stray_label(root):
    save_image(root / "train" / "label" / "0099.png", label_array(0))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: shutil.rmtree(root / "train"),
            r"There is no folder .*train: a scene in the Carla-MVS layout has",
        ),
        (lambda root: shutil.rmtree(root / "train" / "pose"), r"There is no folder .*pose; a split holds"),
        (
            lambda root: shutil.rmtree(root / "test" / "rgb") or (root / "test" / "rgb").mkdir(),
            r"There are no files \*.png",
        ),
        (drop("pose/0001.txt"), "4 photos in .*, 3 files in .*: they do not pair up, first 0001.png with 0002.txt"),
        (drop("pose/0003.txt"), "first 0003.png with no file"),
        (renamed_pose, "4 photos in .*, 4 files in .*first 0002.png with 0003.txt"),
        (write("pose/0002.txt", "1 2 3"), "pose/0002.txt holds 3 numbers; expected 16"),
        (write("pose/0002.txt", "[[1, 2]]"), "pose/0002.txt does not hold plain numbers"),
        (write("intrinsics/0002.txt", "1 0 0 0 1 0 0 0 1"), "intrinsics/0002.txt holds 9 numbers"),
        (write("pose/0002.txt", "nan " * 16), "not finite"),
        (replace_pose(scale_rotation), r"0002.txt is not a rigid pose: its axes .* \(off by 1.2\)"),
        (replace_pose(mirror), "0002.txt is not a rigid pose: it mirrors"),
        (replace_pose(transpose), "0002.txt is not a rigid pose: its last row is"),
        (
            replace_pose(far_away),
            "0002.txt is 2.5 from the origin, .* Multiply the camera positions of all splits by 0.39 ",
        ),
        (far_intrinsics, r"principal point at \(256, 256\), outside its photo of 12 x 8"),
        (skewed, "has the skew 0.5"),
        (write("rgb/0002.png", "no image"), "Cannot read the photo .*0002.png"),
        (small_photo, "0007.png is 8 x 4 pixels, .*0000.png 12 x 8: all photos of a scene must have the same size"),
        (no_labels, "No training view is labelled: looked for PNGs.* in .*train/label"),
        (stray_label, "0099.png belongs to no photo"),
        (wrong_index, "0006.png: 1 pixels, the first at row 1, column 2, hold the class index 7"),
        (write("label/0002.png", "no image"), "Cannot read the label image .*0002.png"),
        (
            lambda root: save_image(root / "train" / "label" / "0002.png", label_array(0, size=(6, 4))),
            "6 x 4 .* 12 x 8",
        ),
        (lambda root: (root / "classes.json").write_text("{}"), "classes.json: No list of classes"),
        (lambda root: (root / "classes.json").unlink(), "hold class indices, which do not tell"),
    ],
)
def test_a_mismatch_is_one_message_at_the_first_load(tmp_path, spoil, message):
    write_tree(tmp_path)
    load(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value) or "class indices" in message


def test_a_camera_that_fits_after_the_factor_of_the_message(tmp_path):
    write_tree(tmp_path)
    replace_pose(far_away)(tmp_path)
    for path in tmp_path.glob("*/pose/*.txt"):
        pose = np.array(path.read_text().split(), dtype=float).reshape(4, 4)
        pose[:3, 3] *= 0.39
        save_matrix(path, pose)
    assert float(load(tmp_path).cameras.camera_to_worlds[:, :, 3].norm(dim=-1).max()) < 1


def test_no_evaluation_views(tmp_path):
    write_tree(tmp_path)
    shutil.rmtree(tmp_path / "validation")
    shutil.rmtree(tmp_path / "test")
    load(tmp_path)
    with pytest.raises(UserError, match="neither validation/ nor test/"):
        load(tmp_path, "val")


def other_pose(second):
    save_matrix(second / "train" / "pose" / "0001.txt", look_down(0.5, 0.5))


def other_name(second):
    for folder, suffix in (("rgb", "png"), ("pose", "txt"), ("intrinsics", "txt")):
        (second / "train" / folder / f"0001.{suffix}").rename(second / "train" / folder / f"0077.{suffix}")


def empty_second(second):
    shutil.rmtree(second)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_pose, "differ by 0.55: the view 0001 is not the same in both trees"),
        (other_name, "0077.png has no photo 0077 in"),
        (empty_second, "There is no folder"),
    ],
)
def test_trees_that_do_not_belong_together(tmp_path, spoil, message):
    first, second = write_tree(tmp_path / "first"), write_second_tree(tmp_path / "second")
    load(first, labels_data=second)
    spoil(second)
    with pytest.raises(UserError, match=message):
        load(first, labels_data=second)


# The dataset


def test_dataset_gives_labels_with_every_view(tmp_path):
    dataset = LabelledDataset(load(write_tree(tmp_path)))
    for index in range(len(dataset)):
        item = dataset[index]
        assert item["image"].shape == (HEIGHT, WIDTH, 3) and item["semantics"].shape == (HEIGHT, WIDTH, 1)
        assert item["semantics"].dtype == torch.uint8
        assert bool((item["semantics"] == IGNORE_INDEX).all()) == (index not in (0, 2))
        assert torch.equal((item["image"] * 255).round().to(torch.uint8), torch.from_numpy(noise(index)))


def test_dataset_scaled_down(tmp_path):
    item = LabelledDataset(load(write_tree(tmp_path)), scale_factor=0.5)[2]
    assert item["image"].shape == (HEIGHT // 2, WIDTH // 2, 3) and item["semantics"].shape == (
        HEIGHT // 2,
        WIDTH // 2,
        1,
    )


def test_dataset_drops_alpha(tmp_path):
    write_tree(tmp_path)
    save_image(tmp_path / "train" / "rgb" / "0001.png", noise(7, channels=4))
    image = LabelledDataset(load(tmp_path)).get_image_uint8(1)
    assert torch.equal(image, torch.from_numpy(noise(7, channels=4)[..., :3]))


def test_dataset_names_a_photo_that_breaks_off(tmp_path):
    write_tree(tmp_path)
    dataset = LabelledDataset(load(tmp_path))
    path = tmp_path / "train" / "rgb" / "0001.png"
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(UserError, match="Cannot read the photo .*0001.png"):
        dataset[1]


def test_dataset_wants_label_maps(tmp_path):
    outputs = load(write_tree(tmp_path))
    outputs.metadata.pop("semantics")
    with pytest.raises(UserError, match="carla-mvs-data or labelled-photos-data"):
        LabelledDataset(outputs)


def test_specifications_import_no_datamanager():
    # Loaded by nerfstudio while its datamanagers are half imported: what this import brings in must not be among them.
    code = """
import sys
import nerfseg_ns.dataparsers.specifications as specifications
assert specifications.carla_mvs_data.config.setup and specifications.labelled_photos_data.config.setup
heavy = ("nerfstudio.data.datamanagers", "nerfstudio.models", "nerfstudio.pipelines", "nerfstudio.configs.method")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
