"""The photos in memory: bytes, of which training gets the very colors that nerfstudio's float images have."""

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.scenes import TABLE, save_image
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data import dataset as dataset_module
from nerfseg_ns.data.datamanager import LabelledDataManagerConfig
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.data.photo_cache import PhotoCache
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.find import find_labels
from nerfseg_ns.labels.label_maps import LabelMaps, resolve_labels

ONE_SIZE = [(9, 7)] * 6
SIZES = [(9, 7), (5, 8), (9, 8), (12, 4), (9, 7), (6, 6)]
LABELLED = (1, 4)
RAYS = 400


@dataclass
class GivenDataParserConfig(DataParserConfig):
    """A scene that is made by a test: the same photos in every split."""

    _target: type = field(default_factory=lambda: GivenDataParser)
    data: Path = Path()
    outputs: DataparserOutputs | None = None


class GivenDataParser(DataParser):
    def _generate_dataparser_outputs(self, split="train"):
        return self.config.outputs


class NerfstudioDataManager(VanillaDataManager[LabelledDataset]):
    """nerfstudio's own, which keeps photos as floats."""


def make_scene(
    folder: Path,
    sizes: list = ONE_SIZE,
    channels: tuple = (3,),
    alpha_color: list | None = None,
    masks: bool = False,
    mask_color: tuple | None = None,
    camera_sizes: list | None = None,
) -> DataparserOutputs:
    """Photos of noise with the given sizes (width, height) and, in turn, the given numbers of channels.

    Two of them are labelled, three pixels in ten left out.
    """
    rng = np.random.default_rng(0)
    photos = [folder / f"{index}.png" for index in range(len(sizes))]
    for index, (width, height) in enumerate(sizes):
        photo = rng.integers(0, 256, (height, width, channels[index % len(channels)]), dtype=np.uint8)
        save_image(photos[index], photo[..., 0] if photo.shape[-1] == 1 else photo)
        if masks:
            save_image(folder / "mask" / f"{index}.png", 255 * rng.integers(0, 2, (height, width), dtype=np.uint8))
        if index in LABELLED:
            labels = rng.choice([0, 1, 2, IGNORE_INDEX], (height, width), p=[0.3, 0.3, 0.1, 0.3])
            save_image(folder / "label" / f"{index}.png", labels.astype(np.uint8))
    TABLE.save(folder / "classes.json")
    labels = find_labels(folder / "label", [photo.stem for photo in photos])
    table, labels = resolve_labels(labels, sizes, folder / "classes.json")
    width, height = torch.tensor(camera_sizes or sizes).T[..., None]
    poses = torch.eye(4)[:3].repeat(len(sizes), 1, 1)
    return DataparserOutputs(
        image_filenames=photos,
        cameras=Cameras(poses, 10.0, 10.0, width / 2, height / 2, width, height, camera_type=CameraType.PERSPECTIVE),
        alpha_color=None if alpha_color is None else torch.tensor(alpha_color),
        scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
        mask_filenames=[folder / "mask" / photo.name for photo in photos] if masks else None,
        metadata={"semantics": LabelMaps.of(labels, table), "mask_color": mask_color},
    )


KINDS = {
    "plain": {},
    "grey and RGBA photos": {"channels": (1, 4, 3)},
    "photos of different sizes": {"sizes": SIZES},
    "alpha": {"channels": (4,), "alpha_color": [0.3, 1.0, 0.7]},
    "alpha in some photos": {"channels": (4, 3), "alpha_color": [1.0, 1.0, 1.0]},
    "alpha and different sizes": {"channels": (3, 4), "sizes": SIZES, "alpha_color": [0.1, 0.2, 0.3]},
    "masks": {"masks": True},
    "masks and their color": {"masks": True, "mask_color": (0.2, 0.4, 0.9)},
    "masks and different sizes": {"masks": True, "sizes": SIZES, "mask_color": (1.0, 0.0, 1.0)},
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def scene(request, tmp_path) -> DataparserOutputs:
    return make_scene(tmp_path, **request.param)


def config_of(outputs: DataparserOutputs, **options) -> LabelledDataManagerConfig:
    parser = GivenDataParserConfig(outputs=outputs)
    return LabelledDataManagerConfig(
        dataparser=parser, train_num_rays_per_batch=RAYS, eval_num_rays_per_batch=RAYS, **options
    )


def seed() -> None:
    torch.manual_seed(0)
    random.seed(0)


@pytest.mark.parametrize("kind", ["masks", "masks and different sizes"])
def test_nothing_is_labelled_outside_the_mask(kind, tmp_path):
    outputs = make_scene(tmp_path, **KINDS[kind])
    dataset, found = LabelledDataset(outputs), []
    for view in range(len(dataset)):
        data, (height, width) = dataset.get_data(view), dataset.get_numpy_image(view).shape[:2]
        labels = outputs.metadata["semantics"].read(view, height, width)
        expected = torch.where(data["mask"].bool(), labels, torch.full_like(labels, IGNORE_INDEX))
        assert torch.equal(data["semantics"], expected) and torch.equal(dataset.get_bytes(view)["semantics"], expected)
        found.append(not torch.equal(expected, labels))
    assert [view for view, changed in enumerate(found) if changed] == list(LABELLED)


@pytest.mark.parametrize("room", [0, 2**20])
def test_label_files_are_read_once_where_there_is_room(room, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "KEPT_BYTES", room)
    dataset = LabelledDataset(make_scene(tmp_path))
    reads = []
    monkeypatch.setattr(LabelMaps, "read", counted(LabelMaps.read, reads))
    for _ in range(3):
        for view in LABELLED:
            dataset.get_bytes(view)
    assert len(reads) == (len(LABELLED) if room else 3 * len(LABELLED))


def counted(function, calls: list):
    """The function, noting that it was called."""

    def call(*args):
        calls.append(args)
        return function(*args)

    return call


def test_stage_1_batches_are_nerfstudios_to_the_last_bit(scene, monkeypatch):
    # nerfstudio's photos come in random order; in their own order the same pixels are drawn from both.
    monkeypatch.setattr(random, "sample", lambda photos, k: list(photos)[:k])
    seed()
    plain = NerfstudioDataManager(config_of(scene), device="cpu", test_mode="val")
    expected = [plain.next_train(step) for step in range(3)]
    seed()
    ours = config_of(scene).setup(device="cpu", test_mode="val")
    for step, (rays, batch) in enumerate(expected):
        our_rays, our_batch = ours.next_train(step)
        assert our_batch.keys() == batch.keys()
        assert all(torch.equal(our_batch[key], batch[key]) for key in batch)
        assert our_batch["image"].dtype == torch.float32 and our_batch["image"].shape == (RAYS, 3)
        assert torch.equal(our_rays.directions, rays.directions)


@pytest.mark.parametrize("stage", list(Stage))
def test_drawn_colors_and_labels_are_those_of_the_float_photos(scene, stage):
    seed()
    manager = config_of(scene).setup(device="cpu", test_mode="val")
    manager.set_stage(stage)
    photos = [manager.train_dataset[index] for index in range(len(manager.train_dataset))]
    assert all(photo["image"].dtype == torch.float32 and photo["image"].shape[-1] == 3 for photo in photos)
    for _, batch in (manager.next_train(0), manager.next_eval(0)):
        for row, (camera, y, x) in enumerate(batch["indices"].tolist()):
            assert torch.equal(batch["image"][row], photos[camera]["image"][y, x])
            assert batch["semantics"][row] == photos[camera]["semantics"][y, x]


def test_whole_photos_are_the_float_photos(scene):
    dataset = LabelledDataset(scene)
    for index in range(len(dataset)):
        view = dataset.get_bytes(index)
        assert torch.equal(dataset.colors(view["image"], view.get("mask")), dataset[index]["image"])


def test_every_intensity_and_alpha_is_exact(tmp_path):
    levels = torch.arange(256, dtype=torch.uint8)
    dataset = LabelledDataset(make_scene(tmp_path, channels=(4,), alpha_color=[0.37, 0.0, 1.0]))
    pixels = torch.stack(torch.meshgrid(levels, levels, indexing="ij"), dim=-1)[..., [0, 0, 0, 1]]
    dataset.get_numpy_image = lambda index: pixels.numpy()
    assert torch.equal(dataset.colors(pixels), dataset.get_image_float32(0))


@pytest.mark.parametrize("sizes", [ONE_SIZE, SIZES], ids=["one size", "different sizes"])
def test_photos_are_kept_in_bytes(tmp_path, sizes):
    batch = next(PhotoCache(LabelledDataset(make_scene(tmp_path, sizes, masks=True))))
    pixels = sum(width * height for width, height in sizes)
    for key, dtype, channels in (("image", torch.uint8, 3), ("semantics", torch.uint8, 1), ("mask", torch.bool, 1)):
        kept = batch[key] if sizes is SIZES else [batch[key]]
        assert isinstance(kept, list) and all(tensor.dtype == dtype for tensor in kept)
        assert sum(tensor.untyped_storage().nbytes() for tensor in kept) == channels * pixels


def test_reading_needs_no_second_copy(tmp_path):
    if peak_memory() is None:
        pytest.skip("This system does not tell the peak of a process's memory.")
    sizes = [(640, 640)] * 24
    cache = PhotoCache(LabelledDataset(make_scene(tmp_path, sizes)))
    cache.dataset.get_bytes(0)  # what only the first photo needs
    peak_memory()
    before = peak_memory()
    next(cache)
    assert peak_memory() - before < 1.5 * 24 * 640 * 640 * 4


def peak_memory() -> int | None:
    """Peak resident memory since this was last asked, bytes."""
    try:
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, StopIteration):
        return None
    return 1024 * int(peak.split()[1])


class CountingDataset(LabelledDataset):
    """Notes which photos are read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.reads = []

    def get_bytes(self, image_idx):
        self.reads.append(image_idx)
        return super().get_bytes(image_idx)


def indices(batch: dict) -> set:
    return set(batch["image_idx"].tolist())


def assert_photos_are(batch: dict, dataset: LabelledDataset) -> None:
    """Each photo of the batch is the one that `image_idx` says."""
    for position, view in enumerate(batch["image_idx"].tolist()):
        expected = LabelledDataset.get_bytes(dataset, view)
        assert all(torch.equal(batch[key][position], expected[key]) for key in expected)


@pytest.mark.parametrize("sizes", [ONE_SIZE, SIZES], ids=["one size", "different sizes"])
def test_photos_are_read_once_and_given_up_when_not_drawn_from(tmp_path, sizes):
    dataset = CountingDataset(make_scene(tmp_path, sizes))
    cache = PhotoCache(dataset)
    assert dataset.reads == []
    first = next(cache)
    assert sorted(dataset.reads) == list(range(6)) == sorted(indices(first))
    assert next(cache)["image"] is first["image"]
    cache.draw_from(LABELLED)
    labelled = next(cache)
    assert len(labelled["image"]) == 2 and indices(labelled) == set(LABELLED) and len(dataset.reads) == 6
    assert_photos_are(first, dataset)
    assert_photos_are(labelled, dataset)
    cache.draw_from(range(6))
    assert indices(next(cache)) == set(range(6)) and len(dataset.reads) == 12


def test_run_that_starts_with_stage_2_reads_the_labelled_photos_alone(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(LabelledDataset, "get_numpy_image", recording(LabelledDataset.get_numpy_image, read))
    manager = config_of(make_scene(tmp_path)).setup(device="cpu", test_mode="val")
    manager.set_stage(Stage.IMPLICIT)
    manager.set_stage(Stage.SEMANTIC)
    assert read == []
    manager.next_train(0)
    assert sorted(read) == list(LABELLED)
    manager.set_stage(Stage.SEMANTIC)
    manager.next_train(1)
    assert len(read) == 2


def recording(method, calls: list):
    def wrapped(self, image_idx):
        calls.append(image_idx)
        return method(self, image_idx)

    return wrapped


def test_photos_are_exchanged_as_often_as_told(tmp_path):
    dataset = CountingDataset(make_scene(tmp_path))
    cache = PhotoCache(dataset, num_photos=3, num_repeats=4)
    random.seed(1)
    batches = [next(cache) for _ in range(15)]
    assert len(dataset.reads) == 9
    for start in (0, 5, 10):
        assert all(batch["image"] is batches[start]["image"] for batch in batches[start : start + 5])
        assert len(indices(batches[start])) == 3
        assert_photos_are(batches[start], dataset)
    assert len({frozenset(indices(batch)) for batch in batches}) > 1
    random.seed(1)
    kept = PhotoCache(dataset, num_photos=3)
    assert len({frozenset(indices(next(kept))) for _ in range(15)}) == 1


@pytest.mark.parametrize("num_photos", [1, 3])
def test_few_photos_at_a_time_still_hold_labels_in_stage_2(tmp_path, num_photos):
    scene = make_scene(tmp_path)
    config = config_of(scene, train_num_images_to_sample_from=num_photos, train_num_times_to_repeat_images=0)
    manager = config.setup(device="cpu", test_mode="val")
    seen = torch.cat([manager.next_train(step)[1]["indices"][:, 0] for step in range(40)])
    assert set(seen.tolist()) == set(range(6))
    manager.set_stage(Stage.SEMANTIC)
    batches = [manager.next_train(step)[1] for step in range(20)]
    assert all((batch["semantics"] != IGNORE_INDEX).all() for batch in batches)
    assert set(torch.cat([batch["indices"][:, 0] for batch in batches]).tolist()) == set(LABELLED)


def test_where_no_photo_is_labelled_stage_2_draws_from_all(tmp_path):
    scene = make_scene(tmp_path)
    maps = scene.metadata["semantics"]
    manager = config_of(scene).setup(device="cpu", test_mode="val")
    manager.eval_dataset.metadata["semantics"] = LabelMaps.of([None] * 6, maps.table)
    manager.set_stage(Stage.SEMANTIC)
    _, batch = manager.next_eval(0)
    assert set(batch["indices"][:, 0].tolist()) == set(range(6)) and (batch["semantics"] == IGNORE_INDEX).all()


def test_images_go_to_the_device_if_told(tmp_path):
    dataset = LabelledDataset(make_scene(tmp_path, masks=True))
    batch = next(PhotoCache(dataset, device="meta", exclude=["semantics"]))
    assert {key: value.device.type for key, value in batch.items()} == {
        "image": "meta", "mask": "meta", "image_idx": "meta", "semantics": "cpu",
    }  # fmt: skip


def test_photo_that_has_not_its_cameras_size_is_named(tmp_path):
    scene = make_scene(tmp_path, [(9, 7)] * 5 + [(9, 8)], camera_sizes=ONE_SIZE)
    with pytest.raises(UserError, match=r"\.png is 9 x [78] pixels as loaded, .*\.png 9 x [78]"):
        next(PhotoCache(LabelledDataset(scene)))


def test_photo_that_cannot_be_read_is_named(tmp_path):
    scene = make_scene(tmp_path)
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"Cannot read the photo .*3\.png"):
        next(PhotoCache(LabelledDataset(scene)))
