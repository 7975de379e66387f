"""What the labels tell stage 1, and that they tell it only what they may."""

import pytest
import torch
import yaml
from helpers.runs import METHODS, same, snapshot

from nerfseg_ns.compare.methods import GUIDED
from nerfseg_ns.core.stage import GUIDANCE_GROUP, Stage
from nerfseg_ns.data.guided_sampler import GuidedPixelSampler, GuidedPixelSamplerConfig
from nerfseg_ns.data.pixel_sampler import StagedPixelSampler
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.model import GUIDANCE_LOGITS

SHARE = 0.25


def guided(weight: float):
    """Changes a config so that labels guide stage 1 with this weight."""

    def change(config) -> None:
        config.pipeline.model.guidance.weight = weight
        config.pipeline.datamanager.pixel_sampler = GuidedPixelSamplerConfig(labelled_share=SHARE)

    return change


def started(trainer):
    """The pipeline of a trainer, ready for the first step."""
    pipeline = trainer.pipeline
    pipeline.set_step(0)
    pipeline.fit_to_scene()
    return pipeline.train()


def test_the_paper_learns_stage_1_from_photos_alone(small_town, make_trainer):
    model = make_trainer(small_town, 4, 4, "nerfseg").pipeline.model
    assert model.guidance is None and GUIDANCE_GROUP not in model.get_param_groups()


@pytest.mark.parametrize("method", METHODS)
def test_the_comparison_knows_which_methods_are_guided(method, small_town, make_trainer):
    assert (make_trainer(small_town, 4, 4, method).pipeline.model.guidance is not None) == (method in GUIDED)


@pytest.mark.parametrize("method", METHODS)
def test_labels_reach_the_density(method, small_town, make_trainer):
    """On either geometry, and from labelled pixels only."""
    pipeline = started(make_trainer(small_town, 4, 4, method, change=guided(0.01)))
    density = [value for key, value in pipeline.model.geometry.named_parameters() if "density" in key]
    rays, batch = pipeline.datamanager.next_train(0)
    outputs = pipeline.model(rays)
    loss = pipeline.model.get_loss_dict(outputs, batch)["guidance_loss"]
    reached = torch.autograd.grad(loss, density, allow_unused=True, retain_graph=True)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in reached)
    labelled = batch["semantics"][:, 0] != IGNORE_INDEX
    assert labelled.any() and not labelled.all()
    for logits in outputs[GUIDANCE_LOGITS]:  # of every cascade level
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert len(gradient) == labelled.sum() and (gradient.abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.01])
def test_batches_hold_labelled_pixels_where_they_are_learnt_from(weight, small_town, make_trainer):
    pipeline = started(make_trainer(small_town, 4, 4, change=guided(weight)))
    manager, shares = pipeline.datamanager, []
    for _ in range(8):
        rays, batch = manager.next_train(0)
        assert len(rays) == manager.config.train_num_rays_per_batch == len(batch["image"])
        shares.append((batch["semantics"] != IGNORE_INDEX).float().mean().item())
    maps = manager.train_dataset.label_maps
    by_chance = len(maps.labelled) / len(maps.labels)
    expected = SHARE + (1 - SHARE) * by_chance if weight else by_chance
    assert sum(shares) / len(shares) == pytest.approx(expected, abs=0.08)
    pipeline.set_step(4)
    assert manager.train_pixel_sampler.stage is Stage.SEMANTIC
    _, batch = manager.draw_train()
    assert (batch["semantics"] != IGNORE_INDEX).all()


def test_stage_2_leaves_the_guidance_alone(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 3, 3)
    step_trainer(trainer, range(3))
    before = snapshot(trainer.pipeline.model.guidance)
    step_trainer(trainer, range(3, 6))
    assert same(before, snapshot(trainer.pipeline.model.guidance))


def test_where_nothing_is_labelled_only_colors_are_learnt(small_town, make_trainer):
    pipeline = started(make_trainer(small_town, 4, 4, change=guided(0.01)))
    next(pipeline.datamanager.iter_train_image_dataloader)["semantics"].fill_(IGNORE_INDEX)
    _, losses, _ = pipeline.get_train_loss_dict(0)
    assert losses["guidance_loss"] == 0 and losses["rgb_loss"] > 0
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("share", [-0.1, 1.0, 3])
def test_a_share_that_is_none(share, small_town, make_trainer):
    def change(config) -> None:
        config.pipeline.datamanager.pixel_sampler.labelled_share = share

    with pytest.raises(UserError, match="labelled-share"):
        make_trainer(small_town, 4, 4, change=change)


def test_the_parts_of_a_batch_are_drawn_with_the_same_settings():
    config = GuidedPixelSamplerConfig(contrast_share=0.3, ignore_mask=True, max_num_iterations=7, labelled_share=0.5)
    parts = GuidedPixelSampler(config, num_rays_per_batch=10)._parts
    assert [part.num_rays_per_batch for part in parts] == [5, 5]
    for part in parts:
        assert type(part) is StagedPixelSampler
        assert (part.config.contrast_share, part.config.ignore_mask, part.config.max_num_iterations) == (0.3, True, 7)


def test_only_training_batches_are_guided(small_town, make_trainer):
    manager = started(make_trainer(small_town, 4, 4)).datamanager
    assert manager.train_pixel_sampler.is_guided and not manager.eval_pixel_sampler.is_guided


def test_a_run_of_an_older_version_is_read_as_it_was(fast_run):
    """Its config.yml has no such options, and its model no such parts."""
    config = yaml.load(fast_run.read_text(), Loader=yaml.Loader)
    model = config.pipeline.model
    del model.guidance, model.color_context
    read = yaml.load(yaml.dump(config), Loader=yaml.Loader).pipeline.model
    assert read.guidance.weight == read.color_context.weight == 0
    assert read.semantics == model.semantics and read.geometry == model.geometry
