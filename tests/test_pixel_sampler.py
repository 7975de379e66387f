"""Which pixels a batch is made of, in each stage, and the colors that travel with the rays."""

import pytest
import torch

from nerfseg_ns.core.processes import shard
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data.datamanager import LabelledDataManagerConfig
from nerfseg_ns.data.pixel_sampler import StagedPixelSampler, StagedPixelSamplerConfig, local_contrast
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.labels.classes import IGNORE_INDEX


def sampler(rays: int, stage: Stage = Stage.SEMANTIC) -> StagedPixelSampler:
    made = StagedPixelSampler(StagedPixelSamplerConfig(), num_rays_per_batch=rays)
    made.stage = stage
    return made


def image_batch(images: int = 4, height: int = 6, width: int = 9, labelled: float = 0.2) -> dict:
    """Photos whose pixels tell where they are (image, row, column), with labels on some pixels of all but image 1."""
    place = torch.stack(
        torch.meshgrid(torch.arange(images), torch.arange(height), torch.arange(width), indexing="ij"), dim=-1
    )
    labels = torch.full((images, height, width, 1), IGNORE_INDEX, dtype=torch.uint8)
    chosen = torch.rand(images, height, width) < labelled
    chosen[1] = False
    labels[chosen] = torch.randint(0, 5, (int(chosen.sum()), 1), dtype=torch.uint8)
    return {"image": place.float(), "semantics": labels, "image_idx": torch.arange(images) * 10 + 3}


def as_lists(batch: dict, sizes: list) -> dict:
    """The same photos cut to different sizes, as lists."""
    cut = {
        key: [image[:height, :width] for image, (height, width) in zip(batch[key], sizes, strict=True)]
        for key in batch
        if key != "image_idx"
    }
    return {**cut, "image_idx": batch["image_idx"]}


def assert_belongs_together(drawn: dict, batch: dict) -> None:
    """Color, label and indices of every drawn pixel are those of one and the same pixel."""
    for color, label, (camera, y, x) in zip(
        drawn["image"].long().tolist(), drawn["semantics"], drawn["indices"].tolist(), strict=True
    ):
        image = batch["image_idx"].tolist().index(camera)
        assert color == [image, y, x]
        assert label == batch["semantics"][image][y, x]


def counts(drawn: dict, shape: tuple) -> torch.Tensor:
    total = torch.zeros(shape)
    image, y, x = drawn["image"].long().T
    total.index_put_((image, y, x), torch.ones(len(x)), accumulate=True)
    return total


def assert_uniform(total: torch.Tensor, allowed: torch.Tensor) -> None:
    """Nothing outside, and inside what a uniform draw gives, by a chi-square statistic within five deviations."""
    assert (total[~allowed] == 0).all()
    inside = total[allowed]
    mean = inside.mean()
    freedom = len(inside) - 1
    statistic = ((inside - mean) ** 2 / mean).sum()
    assert abs(statistic - freedom) < 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("stage", list(Stage))
def test_draws_uniformly_what_the_stage_needs(lists, stage):
    torch.manual_seed(0)
    batch = image_batch()
    shape = tuple(batch["semantics"].shape[:3])
    exists = torch.ones(shape, dtype=torch.bool)
    if lists:
        sizes = [(6, 9), (4, 7), (5, 3), (6, 8)]
        exists = torch.zeros(shape, dtype=torch.bool)
        for image, (height, width) in enumerate(sizes):
            exists[image, :height, :width] = True
        batch = as_lists(batch, sizes)
    labelled = torch.zeros(shape, dtype=torch.bool)
    for image, label in enumerate(batch["semantics"]):
        labelled[image, : label.shape[0], : label.shape[1]] = label[..., 0] != IGNORE_INDEX
    drawn = sampler(20000, stage).sample(batch)
    assert len(drawn["image"]) == 20000
    assert_uniform(counts(drawn, shape), exists if stage is Stage.IMPLICIT else exists & labelled)
    assert_belongs_together({key: value[:300] for key, value in drawn.items()}, batch)


@pytest.mark.parametrize("lists", [False, True])
def test_contrast_is_the_range_of_brightness_around_a_pixel(lists):
    torch.manual_seed(0)
    sizes = [(6, 9), (4, 9), (6, 5)] if lists else [(6, 9)] * 3
    photos = [torch.randint(0, 256, (height, width, 3), dtype=torch.uint8) for height, width in sizes]
    places = [(image, y, x) for image, (height, width) in enumerate(sizes) for y in range(height) for x in range(width)]
    expected = []
    for image, y, x in places:
        around = photos[image][max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].float().mean(dim=-1)
        expected.append(float(around.max() - around.min()))
    found = local_contrast(photos if lists else torch.stack(photos), torch.tensor(places))
    assert torch.allclose(found, torch.tensor(expected), atol=1e-4)


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("stage, preferred", [(Stage.IMPLICIT, True), (Stage.SEMANTIC, False)])
def test_stage_1_prefers_contrast_if_told(lists, stage, preferred):
    torch.manual_seed(0)
    batch = image_batch(height=8, width=16, labelled=1.0)
    batch["semantics"][1] = 0
    batch["image"] = torch.full((4, 8, 16, 3), 100, dtype=torch.uint8)
    batch["image"][:, :, 8:] = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)  # a plain and a busy half
    batch = as_lists(batch, [(8, 16)] * 4) if lists else batch
    made = StagedPixelSampler(StagedPixelSamplerConfig(contrast_share=0.7), num_rays_per_batch=4000)
    made.stage = stage
    drawn = made.sample(batch)
    assert len(drawn["image"]) == len(drawn["indices"]) == 4000
    plain = float((drawn["indices"][:, 2] < 7).float().mean())
    assert (0.05 < plain < 0.35) if preferred else (0.4 < plain < 0.48)


@pytest.mark.parametrize("lists", [False, True])
def test_scenes_with_masks_draw_all_unmasked_pixels_alike(lists):
    torch.manual_seed(0)
    batch = image_batch(height=8, width=16)
    batch["image"] = torch.randint(0, 256, (4, 8, 16, 3), dtype=torch.uint8)
    batch["mask"] = torch.zeros(4, 8, 16, 1, dtype=torch.bool)
    batch["mask"][:, 2:6, 4:12] = True  # fewer pixels than four times a batch
    batch = as_lists(batch, [(8, 16)] * 4) if lists else batch
    made = StagedPixelSampler(StagedPixelSamplerConfig(contrast_share=0.7), num_rays_per_batch=100)
    made.stage = Stage.IMPLICIT
    _, row, column = made.sample(batch)["indices"].T
    assert len(row) == 100 and ((row >= 2) & (row < 6) & (column >= 4) & (column < 12)).all()


@pytest.mark.parametrize("lists", [False, True])
def test_masked_pixels_are_not_drawn_for_labels(lists):
    torch.manual_seed(1)
    batch = image_batch(labelled=0.5)
    batch["mask"] = torch.rand(4, 6, 9, 1) < 0.5
    batch["semantics"][~batch["mask"]] = IGNORE_INDEX  # as LabelledDataset has it
    allowed = batch["semantics"][..., 0] != IGNORE_INDEX
    if lists:
        batch = as_lists(batch, [(6, 9)] * 4)
    drawn = sampler(5000).sample(batch)
    assert_uniform(counts(drawn, (4, 6, 9)), allowed)
    assert drawn["mask"].all()


def test_masked_pixels_are_not_drawn_for_colors():
    torch.manual_seed(1)
    batch = image_batch()
    batch["mask"] = torch.rand(4, 6, 9, 1) < 0.5
    drawn = sampler(5000, Stage.IMPLICIT).sample(batch)
    assert_uniform(counts(drawn, (4, 6, 9)), batch["mask"][..., 0])


def test_masked_pixels_are_not_drawn_for_colors_from_photos_of_different_sizes():
    torch.manual_seed(1)
    batch = image_batch()
    batch["mask"] = torch.rand(4, 6, 9, 1) < 0.5
    allowed = batch["mask"][..., 0]
    drawn = sampler(5000, Stage.IMPLICIT).sample(as_lists(batch, [(6, 9)] * 4))
    assert_uniform(counts(drawn, (4, 6, 9)), allowed)


@pytest.mark.parametrize("lists", [False, True])
def test_without_any_label_all_pixels_are_drawn(lists):
    torch.manual_seed(2)
    batch = image_batch(labelled=0.0)
    if lists:
        batch = as_lists(batch, [(6, 9)] * 4)
    drawn = sampler(8000).sample(batch)
    assert (drawn["semantics"] == IGNORE_INDEX).all()
    assert_uniform(counts(drawn, (4, 6, 9)), torch.ones(4, 6, 9, dtype=torch.bool))


def test_the_stage_may_change_between_batches_and_so_may_the_photos():
    torch.manual_seed(3)
    one, other, made = image_batch(), image_batch(), sampler(500, Stage.IMPLICIT)
    assert (made.sample(one)["semantics"] == IGNORE_INDEX).any()
    made.set_stage(Stage.SEMANTIC)
    for batch in (one, other, one):
        drawn = made.sample(batch)
        assert (drawn["semantics"] != IGNORE_INDEX).all()
        assert_belongs_together(drawn, batch)
    made.set_stage(Stage.IMPLICIT)
    assert (made.sample(one)["semantics"] == IGNORE_INDEX).any()


# Processes that train together


@pytest.fixture
def be_process(monkeypatch):
    """`be_process(rank, world_size)`: what follows runs as if it were one of so many."""

    def be(rank: int, world_size: int) -> None:
        monkeypatch.setattr("nerfstudio.utils.comms.get_rank", lambda: rank)
        monkeypatch.setattr("nerfstudio.utils.comms.get_world_size", lambda: world_size)

    return be


def in_order(batch: dict, order: list) -> dict:
    """The same photos in another order."""
    return {key: [value[i] for i in order] if isinstance(value, list) else value[order] for key, value in batch.items()}


@pytest.mark.parametrize(("items", "world_size"), [(12, 1), (12, 3), (13, 3), (14, 3), (3, 3)])
def test_shares_are_disjoint_complete_and_even(items, world_size, be_process):
    shares = []
    for rank in range(world_size):
        be_process(rank, world_size)
        shares.append(shard(torch.arange(items) + 100).tolist())
    assert sorted(sum(shares, [])) == list(range(100, 100 + items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1 <= min(map(len, shares))


def test_with_fewer_items_than_processes_nobody_goes_without(be_process):
    for rank in range(4):
        be_process(rank, 4)
        assert shard(torch.tensor([7, 8, 9])).tolist() == [7, 8, 9]
        assert shard(torch.tensor([])).tolist() == []


@pytest.mark.parametrize("lists", [False, True])
def test_every_labelled_pixel_is_drawn_by_one_process(lists, be_process):
    """Every process has the photos in an order of its own."""
    torch.manual_seed(4)
    batch = image_batch(labelled=0.4)
    labelled = batch["semantics"][..., 0] != IGNORE_INDEX
    if lists:
        batch = as_lists(batch, [(6, 9)] * 4)
    seen = []
    for rank, order in enumerate([[2, 0, 1, 3], [0, 1, 2, 3], [3, 2, 0, 1]]):
        be_process(rank, 3)
        made = sampler(6000)
        made.is_shared = True
        total = counts(made.sample(in_order(batch, order)), (4, 6, 9))
        assert_uniform(total, total > 0)
        seen.append(total > 0)
    assert torch.equal(sum(share.int() for share in seen), labelled.int())
    sizes = [int(share.sum()) for share in seen]
    assert max(sizes) - min(sizes) <= 1


def test_only_labelled_pixels_are_shared_and_only_if_told(be_process):
    torch.manual_seed(5)
    be_process(1, 3)
    batch = image_batch()
    everywhere, labelled = torch.ones(4, 6, 9, dtype=torch.bool), batch["semantics"][..., 0] != IGNORE_INDEX
    made = sampler(8000, Stage.IMPLICIT)
    made.is_shared = True
    assert_uniform(counts(made.sample(batch), (4, 6, 9)), everywhere)
    assert_uniform(counts(sampler(8000).sample(batch), (4, 6, 9)), labelled)


@pytest.fixture(scope="module")
def datamanager(small_town):
    config = LabelledDataManagerConfig(
        dataparser=CarlaMVSDataParserConfig(data=small_town), train_num_rays_per_batch=256, eval_num_rays_per_batch=256
    )
    return config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)


@pytest.mark.parametrize("stage", list(Stage))
def test_batches_have_the_photos_own_colors(datamanager, stage):
    torch.manual_seed(0)
    datamanager.set_stage(stage)
    for rays, batch, dataset in (
        (*datamanager.next_train(0), datamanager.train_dataset),
        (*datamanager.next_eval(0), datamanager.eval_dataset),
    ):
        observed = batch["image"]
        assert observed.shape == (256, 3)
        for row in range(0, 256, 5):
            camera, y, x = batch["indices"][row].tolist()
            photo = torch.from_numpy(dataset.get_numpy_image(camera)).float() / 255
            assert torch.allclose(observed[row], photo[y, x])
            expected = dataset.cameras.generate_rays(camera, coords=torch.tensor([[y + 0.5, x + 0.5]]))
            assert torch.allclose(rays.directions[row], expected.directions[0], atol=1e-5)
            assert batch["semantics"][row] == dataset.label_maps.read(camera, *photo.shape[:2])[y, x]
        if stage is Stage.SEMANTIC:
            assert (batch["semantics"] != IGNORE_INDEX).all()


def test_semantic_batches_come_from_the_labelled_views_alone(datamanager):
    datamanager.set_stage(Stage.SEMANTIC)
    labelled = set(datamanager.train_dataset.label_maps.labelled)
    assert len(labelled) == 4
    drawn = torch.cat([datamanager.next_train(step)[1]["indices"][:, 0] for step in range(8)])
    assert set(drawn.tolist()) == labelled
    datamanager.set_stage(Stage.IMPLICIT)
    drawn = torch.cat([datamanager.next_train(step)[1]["indices"][:, 0] for step in range(8)])
    assert set(drawn.tolist()) == set(range(16))


def test_number_of_rays_suits_the_device(small_town):
    config = LabelledDataManagerConfig(dataparser=CarlaMVSDataParserConfig(data=small_town))
    chosen = config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
    assert chosen.get_train_rays_per_batch() > 0
    assert len(chosen.next_train(0)[0]) == chosen.get_train_rays_per_batch()
    explicit = LabelledDataManagerConfig(
        dataparser=CarlaMVSDataParserConfig(data=small_town), train_num_rays_per_batch=77
    )
    assert len(explicit.setup(device="cpu", test_mode="val", world_size=1, local_rank=0).next_train(0)[0]) == 77
