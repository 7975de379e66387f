"""The labelled rays that stage 2 keeps: the same as rendered anew, every labelled pixel, within their memory."""

import pytest
import torch

from nerfseg_ns.data.ray_cache import (
    RayCache,
    RayCacheConfig,
    RenderedRays,
    half_precision,
    single_precision,
)
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.semantics.cached_rays import CachedRays


def kept_rays(trainer) -> RayCache:
    """The labelled rays of a trainer that has taken a step of stage 2."""
    rays = trainer.pipeline.datamanager.semantic_batches.rays
    assert isinstance(rays, RayCache)
    return rays


def colors_and_labels(rays: CachedRays) -> list:
    """What tells the rays apart, in an order of its own."""
    return sorted(map(tuple, torch.cat([rays.observed, rays.labels[:, None].float()], dim=1).tolist()))


def labelled_pixels_of(dataset) -> list:
    """The same of all labelled pixels of the photos, the slow way."""
    found = []
    for view in range(len(dataset)):
        data = dataset.get_neutral(view)
        for color, label in zip(data["image"].flatten(0, 1), data["semantics"].flatten(), strict=True):
            if label != IGNORE_INDEX:
                found.append((*color.tolist(), float(label)))
    return sorted(found)


@pytest.mark.parametrize("method", ["nerfseg-fast", "nerfseg"])
def test_every_labelled_pixel_is_kept_as_it_would_be_rendered(method, small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 3, 3, method)
    trainer.pipeline.config.labelled_rays = RayCacheConfig(max_megabytes=200)
    step_trainer(trainer, range(4))
    rays, model, manager = kept_rays(trainer), trainer.pipeline.model, trainer.pipeline.datamanager
    assert len(rays) == rays.total == 4 * 48 * 48
    assert colors_and_labels(rays.kept) == labelled_pixels_of(manager.train_dataset)

    bundle, batch = manager.draw_train()
    torch.manual_seed(0)
    once = model.cache_rays(bundle, batch)
    for level, rendered in zip(once.levels, model.semantics.choose_samples(model.render(bundle)), strict=True):
        for kept, segment in zip(level, rendered, strict=True):
            assert all(torch.equal(getattr(kept, name), getattr(segment, name)) for name in vars(kept))
    assert torch.equal(once.observed, batch["image"]) and torch.equal(once.labels, batch["semantics"][:, 0].long())
    model.eval()
    features, _ = model.semantics.render_features(model.render(bundle)[-1])
    for kept, rendered in zip(model.semantics.render_chosen(once.levels[-1]), features, strict=True):
        torch.testing.assert_close(kept, rendered)


def test_half_precision_hardly_changes_the_logits(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 60, 40)
    step_trainer(trainer, range(100))
    model = trainer.pipeline.model.eval()
    bundle, batch = trainer.pipeline.datamanager.draw_train()
    whole = model.cache_rays(bundle, batch)
    halved = whole.map(half_precision).map(single_precision)
    assert not torch.equal(whole.levels[0][0].features, halved.levels[0][0].features)
    logits = [model.semantics.get_logits(r.levels, r.observed)["f2s_logits"][0] for r in (whole, halved)]
    assert (logits[0].argmax(-1) == logits[1].argmax(-1)).float().mean() > 0.99
    assert (logits[0] - logits[1]).abs().max() < 0.02 * logits[0].abs().max()


def test_memory_is_bounded_and_rays_are_exchanged(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 1, 200)
    trainer.pipeline.config.labelled_rays = RayCacheConfig(max_megabytes=2, refresh_rays=50)
    step_trainer(trainer, range(2))
    rays = kept_rays(trainer)
    assert 1_900_000 < rays.kept.num_bytes <= 2_000_000 and len(rays) < rays.total
    before = rays.kept.map(torch.clone)
    rays.draw(128)
    changed = [(new != old).flatten(1).any(dim=1) for new, old in zip(rays.kept.tensors()[:1], before.tensors()[:1])]
    assert changed[0].sum() == 50 and rays.kept.num_bytes <= 2_000_000
    first = changed[0].nonzero()[0, 0].item()
    for _ in range(len(rays) // 50 + 1):
        rays.draw(128)
    assert not torch.equal(rays.kept.observed[:first], before.observed[:first])
    truth = set(labelled_pixels_of(trainer.pipeline.datamanager.train_dataset))
    assert set(colors_and_labels(rays.kept)) <= truth


def test_draws_are_uniform_and_labelled(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 1, 3)
    step_trainer(trainer, range(2))
    rays = kept_rays(trainer)
    torch.manual_seed(1)
    inputs, batch = trainer.pipeline.datamanager.semantic_batches.draw(50, step=7)
    torch.manual_seed(1)
    same = rays.draw(50)
    assert inputs.rays.labels is None and torch.equal(batch["image"], inputs.rays.observed)
    assert torch.equal(batch["semantics"][:, 0], same.labels) and torch.equal(batch["image"], same.observed)
    drawn = rays.draw(20_000)
    counts = torch.bincount(rays.kept.labels.long()) / len(rays)
    found = torch.bincount(drawn.labels, minlength=len(counts)) / len(drawn)
    assert (counts - found).abs().max() < 0.02


def test_without_memory_every_batch_is_rendered(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 2, 4)
    trainer.pipeline.config.labelled_rays = RayCacheConfig(max_megabytes=0)
    names = step_trainer(trainer, range(5))
    source = trainer.pipeline.datamanager.semantic_batches.rays
    assert isinstance(source, RenderedRays) and any("f2s" in name for name in names)
    assert len(source.draw(30)) == 30 and (source.draw(30).labels != IGNORE_INDEX).all()
