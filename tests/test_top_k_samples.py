"""Fewer samples for the semantic modules: the heaviest, and none where nothing weighs anything."""

import pytest
import torch

from nerfseg_ns.geometry.base import LevelLayout, RaySegment
from nerfseg_ns.semantics import level as level_module
from nerfseg_ns.semantics.level import LevelSemantics
from nerfseg_ns.semantics.packed_samples import PackedSamples
from nerfseg_ns.semantics.top_k_samples import mask_low_weights, top_k_samples

RAYS, SAMPLES, DIM = 40, 23, 8


def noise_segment(share: float = 0.2, light: float = 0.0) -> RaySegment:
    """Samples of noise, of which a share weighs something and all others weigh `light`."""
    heavy = torch.rand(RAYS, SAMPLES, 1) < share
    weights = torch.where(heavy, torch.rand(RAYS, SAMPLES, 1) * 0.1 + 0.01, torch.tensor(light))
    features, positions = torch.randn(RAYS, SAMPLES, DIM), torch.rand(RAYS, SAMPLES, 3) * 2 - 1
    return RaySegment(features, positions, weights, torch.rand(RAYS, 1))


def semantics(kernel_size, resolutions=(8, 16)) -> LevelSemantics:
    return LevelSemantics(LevelLayout((DIM,)), 5, 16, DIM, kernel_size, (16, 64), resolutions)


@pytest.mark.parametrize("kernel_size", [None, 3, 5])
def test_where_nothing_weighs_anything_no_network_is_asked(kernel_size, monkeypatch):
    """The packed samples give what all samples give, to the gradients; fewer of them go through the Seg-MLP."""
    torch.manual_seed(0)
    segment, level = noise_segment(share=0.1), semantics(kernel_size, resolutions=())
    segment.weights[3], segment.weights[4] = 0.0, 1.0
    asked = []
    level.seg_mlps[0].register_forward_hook(lambda module, inputs, output: asked.append(output.shape[:-1].numel()))
    found = []
    for most in (0.5, 0.0):  # packed, then all samples
        monkeypatch.setattr(level_module, "MAX_PACKED_SHARE", most)
        level.zero_grad()
        (features,) = level.render_features([segment])
        features.square().sum().backward()
        gradients = [p.grad.clone() for part in (level.seg_mlps, level.ray_convolutions) for p in part.parameters()]
        found.append([features.detach(), *gradients])
    assert asked[1] == RAYS * SAMPLES and asked[0] == int(
        PackedSamples.of(segment.weights[..., 0], level.reach).near.sum()
    )
    assert asked[0] < 0.5 * asked[1]
    assert (found[0][0][3] == 0).all()
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_packed_samples_have_their_place(monkeypatch):
    """Position features of packed samples too; in training they are hidden from whole rays, which are never packed."""
    torch.manual_seed(1)
    segment, level = noise_segment(share=0.1), semantics(5).eval()
    (packed,) = level.render_features([segment])
    monkeypatch.setattr(level_module, "MAX_PACKED_SHARE", 0.0)
    torch.testing.assert_close(packed, level.render_features([segment])[0])
    monkeypatch.setattr(level_module, "MAX_PACKED_SHARE", 1.0)
    level.position_features.dropout = 0.5
    assert level.train().render_features([segment])[0].shape == (RAYS, DIM)


def test_packed_samples_against_a_slow_search():
    torch.manual_seed(2)
    weights = (torch.rand(6, 9) < 0.25) * torch.rand(6, 9)
    packed = PackedSamples.of(weights, 2)
    for ray in range(6):
        for sample in range(9):
            around = weights[ray, max(0, sample - 2) : sample + 3]
            assert packed.near[ray, sample] == bool((around != 0).any())
    places = [(ray, sample) for ray in range(6) for sample in range(9) if packed.near[ray, sample]]
    kept = [(ray, sample) for ray in range(6) for sample in range(9) if weights[ray, sample] != 0]
    for (ray, sample), row in zip(kept, packed.neighbours().tolist(), strict=True):
        expected = [(ray, sample + step) for step in (-2, -1, 0, 1, 2)]
        assert row == [places.index(place) + 1 if place in places else 0 for place in expected]
    assert packed.share == pytest.approx(len(places) / 54)


def test_light_samples_count_for_nothing():
    torch.manual_seed(3)
    segment, level = noise_segment(light=5e-4), semantics(5).eval()
    fewer = mask_low_weights(segment, 1e-3)
    assert torch.equal(fewer.weights != 0, segment.weights > 1e-3)
    assert mask_low_weights(segment, 0.0) is segment
    whole, left = (level.render_features([s])[0] for s in (segment, fewer))
    samples = level.ray_convolutions[0](level.seg_mlps[0](level._seg_mlp_input(segment.features, segment.positions)))
    bound = 5e-4 * samples.sum(dim=1)  # features are not negative
    assert ((whole - left) >= -1e-5).all() and ((whole - left) <= bound + 1e-5).all()
    assert (whole - left).abs().max() > 1e-4


def test_the_heaviest_are_kept_in_their_order():
    torch.manual_seed(4)
    segment = noise_segment(share=1.0)
    kept = top_k_samples(segment, 6)
    assert kept.features.shape == (RAYS, 6, DIM) and kept.transmittance is segment.transmittance
    for ray in range(RAYS):
        weights = segment.weights[ray, :, 0].tolist()
        expected = sorted(sorted(range(SAMPLES), key=weights.__getitem__)[-6:])
        assert kept.weights[ray, :, 0].tolist() == [weights[i] for i in expected]
        torch.testing.assert_close(kept.features[ray], segment.features[ray, expected])
        torch.testing.assert_close(kept.positions[ray], segment.positions[ray, expected])
    for count in (SAMPLES, SAMPLES + 5):
        assert top_k_samples(segment, count) is segment
