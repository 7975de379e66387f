"""What the surroundings of a pixel add to its label."""

import itertools

import pytest
import torch
from helpers.runs import same, snapshot

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.data import patch_sampler
from nerfseg_ns.data.patch_sampler import PatchSampler
from nerfseg_ns.data.pixel_sampler import StagedPixelSampler, StagedPixelSamplerConfig
from nerfseg_ns.data.rendered_patches import RenderedPatch
from nerfseg_ns.errors import UserError
from nerfseg_ns.exposure.exposure import find_exposure
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.semantics import color_context
from nerfseg_ns.semantics.color_context import REACH, ColorContext, ColorContextConfig
from nerfseg_ns.semantics.opinions import opinion

CLASSES = 5


def context(weight: float = 0.5) -> ColorContext:
    """With weights and statistics that are no longer those of the start."""
    torch.manual_seed(0)
    made = ColorContext(ColorContextConfig(weight=weight, width=6), CLASSES)
    for _ in range(3):
        made(torch.rand(2, 3, 20, 20))
    return made.eval()


@torch.no_grad()
def test_a_pixel_sees_its_window_and_no_more():
    made, image = context(), torch.rand(40, 50, 3)
    before = made.classify(image)
    changed = image.clone()
    changed[20, 25] = 1 - changed[20, 25]
    differs = (made.classify(changed) != before).any(dim=-1).nonzero()
    assert differs.amin(dim=0).tolist() == [20 - REACH, 25 - REACH]
    assert differs.amax(dim=0).tolist() == [20 + REACH, 25 + REACH]


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (37, 33), (64, 32)])
def test_pieces_of_an_image_give_what_the_whole_gives(shape, monkeypatch):
    made, image = context(), torch.rand(*shape, 3)
    whole = made(image.movedim(-1, 0)[None])[0].movedim(0, -1)
    monkeypatch.setattr(color_context, "TILE", 16)
    found = made.classify(image)
    assert found.shape == (*shape, CLASSES)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_two_opinions_are_multiplied():
    """Pixel by pixel, class by class, in plain numbers."""
    made, image, logits = context(0.5), torch.rand(4, 6, 3), torch.randn(4, 6, CLASSES) * 3
    looks = made.classify(image)
    found = (opinion(logits) + made.config.weight * opinion(looks)).softmax(dim=-1)
    for y in range(4):
        for x in range(6):
            parts = []
            for said in (logits[y, x], looks[y, x]):
                shares = [float(value.exp()) for value in said]
                parts.append([0.9 * share / sum(shares) + 0.1 / CLASSES for share in shares])
            products = [scene * look**0.5 for scene, look in zip(*parts, strict=True)]
            expected = torch.tensor([product / sum(products) for product in products])
            torch.testing.assert_close(found[y, x], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [8, 64])
def test_pieces_are_of_labelled_photos(size, small_town, make_trainer):
    """Each is a window of a photo with its labels, changed in light alone; photos smaller than a patch are whole."""
    manager = make_trainer(small_town, 4, 4).pipeline.datamanager
    drawn = manager.patch_sampler(6, size).draw
    views = manager.train_dataset.label_maps.labelled
    photos = [manager.train_dataset.get_data(view) for view in views]
    inner = min(size, 48)
    for number in range(3):
        images, labels = drawn(number)
        assert images.shape == (6, 3, size, size) and labels.shape == (6, size, size)
        for image, label in zip(images, labels, strict=True):
            assert (label[inner:] == IGNORE_INDEX).all() and (label[:, inner:] == IGNORE_INDEX).all()
            assert any(is_window(image, label, photo, inner) for photo in photos)


class Photos:
    """Stands in for a dataset: colors of bytes, what the mask hides in black."""

    @staticmethod
    def colors(pixels: torch.Tensor, mask: torch.Tensor | None, view: int) -> torch.Tensor:
        colors = pixels[..., :3].float() / 255
        return colors if mask is None else colors * mask


@pytest.mark.parametrize("as_list", [False, True])
def test_what_masks_hide_is_not_labelled_in_pieces(as_list):
    """Photos of one size, or of two; `LabelledDataset` has taken the labels under the mask away."""
    torch.manual_seed(0)
    sizes = [(30, 40), (20, 25)] if as_list else [(30, 40)] * 2
    batch = {"image": [], "semantics": [], "mask": []}
    for height, width in sizes:
        batch["image"].append(torch.randint(0, 256, (height, width, 4), dtype=torch.uint8))
        batch["mask"].append(torch.rand(height, width, 1) < 0.7)
        batch["semantics"].append(torch.where(batch["mask"][-1], 2, IGNORE_INDEX).byte())
    if not as_list:
        batch = {key: torch.stack(values) for key, values in batch.items()}
    batch["image_idx"] = torch.tensor([7, 3])
    sampler = StagedPixelSampler(StagedPixelSamplerConfig(), num_rays_per_batch=5)
    sampler.set_stage(Stage.SEMANTIC)
    patches = PatchSampler(Photos, itertools.repeat(batch), sampler, 24)
    for number in range(5):
        images, labels = patches.draw(number)
        assert images.shape == (5, 3, 24, 24) and set(labels.unique().tolist()) == {2, IGNORE_INDEX}
    patches.rendered_share = 1.0
    patches.rendered = {view: RenderedPatch(3, 2, torch.full((15, 15, 3), 5.0)) for view in (3, 7)}
    images, labels = patches.draw(0)
    assert (images > 3).any() and set(labels.unique().tolist()) == {2, IGNORE_INDEX}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_pieces_is_rendered(share, monkeypatch):
    """Colors say where they are from: rendered ones have another blue. Labels are those of the same places."""
    monkeypatch.setattr(patch_sampler, "GAIN", 0.0)
    monkeypatch.setattr(patch_sampler, "OFFSET", 0.0)
    places = torch.stack(torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij"), dim=-1)
    photo = torch.cat([places, torch.zeros_like(places[..., :1])], dim=-1).byte()
    labels = ((places[..., :1] + 3 * places[..., 1:]) % 7).byte()
    batch = {"image": photo[None], "semantics": labels[None], "image_idx": torch.tensor([4])}
    sampler = StagedPixelSampler(StagedPixelSamplerConfig(), num_rays_per_batch=40)
    sampler.set_stage(Stage.SEMANTIC)
    patches = PatchSampler(Photos, itertools.repeat(batch), sampler, 8)
    window = photo[5:35, 10:50].float() / 255
    window[..., 2] = 1.0
    patches.rendered, patches.rendered_share = {4: RenderedPatch(5, 10, window)}, share
    images, found = patches.draw(0)
    blues = images[:, 2].flatten(1)
    assert ((blues == 0) | (blues == 1)).all() and (blues.amin(dim=1) == blues.amax(dim=1)).all()
    rendered = int(blues[:, 0].sum())
    assert {0.0: rendered == 0, 0.5: 5 <= rendered <= 25, 1.0: 15 <= rendered < 40}[share]
    row, column = (255 * images[:, :2]).round().long().unbind(dim=1)
    assert torch.equal(found, (row + 3 * column) % 7)


def test_pieces_come_again_with_their_number_only(small_town, make_trainer):
    """And drawing them leaves all other random numbers as they would be."""
    draw = make_trainer(small_town, 4, 4).pipeline.datamanager.patch_sampler(2, 16).draw
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, other = draw(7)[0], draw(8)[0]
    assert torch.equal(expected, torch.rand(3))
    assert torch.equal(first, draw(7)[0]) and not torch.equal(first, other)


def test_a_run_goes_on_with_the_next_pieces(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 1, 5)
    step_trainer(trainer, range(4))
    expected = trainer.pipeline.datamanager.next_train(4)[0].patches
    assert not torch.equal(expected, trainer.pipeline.datamanager.next_train(3)[0].patches)
    trainer.save_checkpoint(3)
    resumed = make_trainer(small_town, 1, 5, load_dir=trainer.checkpoint_dir, timestamp="later")
    step_trainer(resumed, range(4, 5))
    torch.testing.assert_close(resumed.pipeline.datamanager.next_train(4)[0].patches, expected)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_one(share):
    with pytest.raises(UserError, match="rendered-share is .*, not 0 to 1"):
        ColorContext(ColorContextConfig(weight=0.5, rendered_share=share), CLASSES)


@pytest.mark.parametrize("option", ["patches", "patch_size", "width"])
def test_sizes_that_make_no_sense(option):
    with pytest.raises(UserError, match="at least 1"):
        ColorContext(ColorContextConfig(weight=0.5, **{option: 0}), CLASSES)


def test_a_view_can_be_rendered_in_training_mode(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 1, 2)
    step_trainer(trainer, range(2))
    pipeline = trainer.pipeline.train()
    before = snapshot(pipeline.model.color_context)
    outputs = pipeline.model.get_outputs_for_camera(pipeline.datamanager.eval_dataset.cameras[:1])
    assert outputs["rgb"].shape == (48, 48, 3) and same(before, snapshot(pipeline.model.color_context))


def is_window(image: torch.Tensor, label: torch.Tensor, photo: dict, size: int) -> bool:
    """Whether a patch is a window of a photo, mirrored or not, its channels stretched and moved."""
    label, image = label[:size, :size], image[:, :size, :size]
    for flip in (False, True):
        wanted, colors = (label.flip(-1), image.flip(-1)) if flip else (label, image)
        for top in range(48 - size + 1):
            for left in range(48 - size + 1):
                window = slice(top, top + size), slice(left, left + size)
                if torch.equal(photo["semantics"][window][..., 0].long(), wanted):
                    pairs = zip(colors.flatten(1), photo["image"][window].movedim(-1, 0).flatten(1), strict=True)
                    if all(torch.corrcoef(torch.stack(pair))[0, 1] > 0.999 for pair in pairs):
                        return True
    return False


@torch.no_grad()
def test_it_learns_from_what_stage_1_renders(small_town, make_trainer, step_trainer):
    """All labelled photos of the small town, whole, as its model renders them."""
    trainer = make_trainer(small_town, 3, 3)
    with torch.enable_grad():
        step_trainer(trainer, range(4))
    pipeline = trainer.pipeline.eval()
    dataset, patches = pipeline.datamanager.train_dataset, pipeline.datamanager.semantic_batches.patches
    assert patches.rendered_share == 0.5 and sorted(patches.rendered) == sorted(dataset.label_maps.labelled)
    for view, window in patches.rendered.items():
        rendered = pipeline.model.get_outputs_for_camera(dataset.cameras[view : view + 1])["rgb"]
        torch.testing.assert_close(window.colors, rendered, atol=1e-4, rtol=1e-4)


def test_only_stage_2_learns_it(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 3, 3)
    context = trainer.pipeline.model.color_context
    before = snapshot(context)
    assert "context_loss" not in step_trainer(trainer, range(3))
    assert same(before, snapshot(context))
    assert step_trainer(trainer, range(3, 6))["context_loss"] > 0
    assert not same(before, snapshot(context))


def test_the_paper_sees_pixels_alone(small_town, make_trainer):
    assert make_trainer(small_town, 4, 4, "nerfseg").pipeline.model.color_context is None


@torch.no_grad()
def test_views_are_labelled_with_it(fast_pipeline):
    """The same view without it, and what it adds."""
    model = fast_pipeline.model
    camera = fast_pipeline.datamanager.eval_dataset.cameras[:1]
    with model.keeping_ray_features():
        outputs = model.get_view(camera)
        photo = fast_pipeline.datamanager.eval_dataset.get_data(0)["image"]
        observed = model.classify_observed(outputs, photo)
    context, model.color_context = model.color_context, None
    try:
        with model.keeping_ray_features():
            plain = model.get_view(camera)
            plain_observed = model.classify_observed(plain, photo)
    finally:
        model.color_context = context

    def together(logits, image):
        return opinion(logits) + context.config.weight * opinion(context.classify(image))

    wanted = together(plain["semantics_logits"], plain["rgb"])
    found = outputs["semantics_logits"]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(outputs["semantics_colormap"], model.palette[found.argmax(dim=-1)])
    assert outputs["semantics_confidence"].shape == (*found.shape[:2], 1)
    neutral = find_exposure(plain["rgb"], photo).neutral(photo)
    torch.testing.assert_close(observed, together(plain_observed, neutral), atol=1e-4, rtol=1e-4)
    assert not torch.equal(outputs["semantics_colormap"], plain["semantics_colormap"])
