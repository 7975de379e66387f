"""Fewer samples for the semantic modules: against a slow choice, and against all samples where nothing weighs enough."""

import pytest
import torch

from nerfseg_ns.geometry.base import LevelLayout, RaySegment
from nerfseg_ns.semantics.heaviest_samples import keep_heaviest
from nerfseg_ns.semantics.level import LevelSemantics

RAYS, SAMPLES, DIM = 40, 23, 8


def noise_segment(share: float = 0.2, light: float = 0.0) -> RaySegment:
    """Samples of noise, of which a share weighs something and all others weigh `light`."""
    heavy = torch.rand(RAYS, SAMPLES, 1) < share
    weights = torch.where(heavy, torch.rand(RAYS, SAMPLES, 1) * 0.1 + 0.01, torch.tensor(light))
    features, positions = torch.randn(RAYS, SAMPLES, DIM), torch.rand(RAYS, SAMPLES, 3) * 2 - 1
    return RaySegment(features, positions, weights, torch.rand(RAYS, 1))


@pytest.mark.parametrize("kernel_size", [None, 3, 5])
@pytest.mark.parametrize("count", [None, 20])
def test_what_weighs_too_little_changes_nothing(kernel_size, count):
    """The ray convolution of the samples that are kept is that of the whole ray."""
    torch.manual_seed(0)
    segment = noise_segment(share=0.1)
    level = LevelSemantics(LevelLayout((DIM,)), 5, 16, DIM, kernel_size, (16, 64), (8, 16)).eval()
    fewer = keep_heaviest(segment, count, 1e-3, level.reach)
    assert fewer.weights.shape[1] < SAMPLES
    torch.testing.assert_close(level.render_features([fewer]), level.render_features([segment]))
    without_reach = keep_heaviest(segment, None, 1e-3, 0)
    same = torch.allclose(level.render_features([without_reach])[0], level.render_features([segment])[0], atol=1e-5)
    assert same == (kernel_size is None)


def test_the_error_is_what_the_samples_left_out_weigh():
    torch.manual_seed(1)
    segment = noise_segment(light=5e-4)
    level = LevelSemantics(LevelLayout((DIM,)), 5, 16, DIM, 5, None).eval()
    whole, fewer = (level.render_features([s])[0] for s in (segment, keep_heaviest(segment, None, 1e-3, level.reach)))
    samples = level.ray_convolutions[0](level.seg_mlps[0](segment.features))
    bound = 5e-4 * samples.sum(dim=1)  # features are not negative
    assert ((whole - fewer) >= -1e-5).all() and ((whole - fewer) <= bound + 1e-5).all()
    assert (whole - fewer).abs().max() > 1e-4


@pytest.mark.parametrize("reach", [0, 2])
def test_the_heaviest_are_kept_in_their_order(reach):
    torch.manual_seed(2)
    segment = noise_segment(share=1.0)
    kept = keep_heaviest(segment, 6, 0.0, reach)
    assert kept.features.shape == (RAYS, 6, DIM) and kept.transmittance is segment.transmittance
    for ray in range(RAYS):
        weights = segment.weights[ray, :, 0].tolist()
        scores = [max(weights[max(0, i - reach) : i + reach + 1]) for i in range(SAMPLES)]
        limit = sorted(scores)[-6]
        found = [weights.index(weight) for weight in kept.weights[ray, :, 0].tolist()]
        assert found == sorted(found) and len(set(found)) == 6
        assert all(scores[i] >= limit for i in found)
        assert all(i in found for i in range(SAMPLES) if scores[i] > limit)
        torch.testing.assert_close(kept.features[ray], segment.features[ray, found])
        torch.testing.assert_close(kept.positions[ray], segment.positions[ray, found])


def test_rays_with_room_hold_samples_that_weigh_nothing():
    """What a ray gives does not depend on the rays beside it."""
    torch.manual_seed(3)
    segment = noise_segment(light=5e-4)
    together = keep_heaviest(segment, None, 1e-3, 1)
    for ray in range(RAYS):
        alone = RaySegment(*(getattr(segment, name)[ray : ray + 1] for name in vars(segment)))
        kept = keep_heaviest(alone, None, 1e-3, 1)
        assert kept.weights.sum().item() == pytest.approx(together.weights[ray].sum().item(), abs=1e-6)


def test_nothing_to_leave_out():
    segment = noise_segment()
    for count in (None, SAMPLES, SAMPLES + 5):
        assert keep_heaviest(segment, count) is segment
    empty = RaySegment(segment.features, segment.positions, torch.zeros(RAYS, SAMPLES, 1), segment.transmittance)
    assert keep_heaviest(empty, None, 1e-3).weights.shape == (RAYS, 1, 1)
