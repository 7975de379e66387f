"""Several semantic stages over one geometry, and the loss with smoothed labels and balanced classes."""

import math

import pytest
import torch
from helpers.rays import losses_of, rendered_levels

from nerfseg_ns.geometry.base import LevelLayout, RaySegment
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.semantics.losses import class_weights, label_loss, undo_smoothing
from nerfseg_ns.semantics.semantic_stage import SemanticStage, SemanticStageConfig

LAYOUT = (LevelLayout((8, 8)), LevelLayout((8, 8)))


def make(heads: int) -> SemanticStage:
    torch.manual_seed(0)
    config = SemanticStageConfig(hidden_dim=16, feature_dim=8, position_resolutions=(4,), heads=heads)
    return config.setup(levels=LAYOUT, num_classes=5)


def rays_of(levels: list, rays: list) -> list:
    """The same rendered levels, of some rays only."""

    def part(segment: RaySegment) -> RaySegment:
        return RaySegment(*(values[rays] for values in vars(segment).values()))

    return [[part(segment) for segment in level.segments] for level in levels]


def test_a_stage_has_as_many_members_as_heads():
    assert [len(make(heads).members) for heads in (1, 3)] == [1, 3]


def test_logits_of_a_single_head_are_its_members():
    stage, level, color = make(1).eval(), rendered_levels(rays=7)[-1], torch.rand(7, 3)
    alone = stage.members[0].classify(*stage.render_features(level), color)
    assert torch.equal(stage.classify(*stage.render_features(level), color), alone)


def test_probabilities_are_the_members_mean():
    stage, level, color = make(3).eval(), rendered_levels(rays=7)[-1], torch.rand(7, 3)
    features, transmittances = stage.render_features(level)
    found = stage.classify(features, transmittances, color)
    expected = torch.zeros(7, 5)
    for member in stage.members:
        for ray in range(7):
            logits = member.classify(member.render_features(level.segments), transmittances, color)[ray]
            expected[ray] += logits.exp() / logits.exp().sum() / 3
    assert torch.allclose(found.exp(), expected, atol=1e-6)
    assert len({float(member.levels[0].seg_mlps[0].remap.weight[0, 0]) for member in stage.members}) == 3


def test_each_ray_teaches_one_member():
    stage, levels, color = make(3).eval(), rendered_levels(rays=7), torch.rand(7, 3)
    found = stage.get_logits(stage.choose_samples(levels), color)
    shares = [[0, 3, 6], [1, 4], [2, 5]]
    for member, rays in zip(stage.members, shares, strict=True):
        alone = member.get_logits(rays_of(levels, rays), color[rays])
        for key in found:
            for whole, part in zip(found[key], alone[key], strict=True):
                assert torch.allclose(whole[rays], part, atol=1e-6)
    labels = torch.tensor([0, IGNORE_INDEX, 2, 3, IGNORE_INDEX, 3, 4])
    sum(losses_of(stage, levels, color, labels).values()).backward()
    learns = [any(p.grad is not None and p.grad.abs().max() > 0 for p in m.parameters()) for m in stage.members]
    assert learns == [True, False, True]


@pytest.mark.parametrize("balance", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_against_a_slow_reference(balance, smoothing):
    torch.manual_seed(0)
    logits, labels = torch.randn(60, 5), torch.randint(0, 4, (60,))  # class 4 does not occur
    labels[::7] = IGNORE_INDEX
    known = [(row, int(label)) for row, label in zip(logits.double(), labels) if label != IGNORE_INDEX]
    shares = {c: sum(label == c for _, label in known) / len(known) for c in range(5)}
    weight = {c: max(share, 1 / len(known)) ** -balance for c, share in shares.items()}
    mean = sum(weight[label] for _, label in known) / len(known)
    total = 0.0
    for row, label in known:
        log_probabilities = row - row.exp().sum().log()
        for c in range(5):
            target = (1 - smoothing) * (c == label) + smoothing / 5
            total -= target * weight[label] / mean * float(log_probabilities[c])
    assert math.isclose(float(label_loss(logits, labels, smoothing, balance)), total / len(known), rel_tol=1e-5)


def test_weights_are_one_on_average_and_larger_for_rare_classes():
    labels = torch.tensor([0] * 80 + [1] * 16 + [2] * 4)
    weights = class_weights(labels, 4, 0.5)
    assert weights[labels].mean() == pytest.approx(1.0)
    assert torch.allclose(weights[:3] / weights[0], torch.tensor([1.0, 5**0.5, 20**0.5]))
    assert class_weights(labels, 4, 0.0) is None
    nothing = torch.full((9,), IGNORE_INDEX)
    assert float(label_loss(torch.randn(9, 4), nothing, 0.1, 0.25)) == 0.0


def test_a_classifier_that_learnt_smoothed_labels_says_what_it_means():
    torch.manual_seed(0)
    meant = torch.tensor([[0.97, 0.01, 0.01, 0.01], [0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.3, 0.2]])
    said = (1 - 0.1) * meant + 0.1 / 4
    assert torch.allclose(undo_smoothing(said.log(), 0.1).softmax(dim=-1), meant, atol=1e-5)
    logits = torch.randn(200, 4) * 5
    undone = undo_smoothing(logits, 0.1)
    assert torch.isfinite(undone).all() and torch.equal(undone.argmax(dim=-1), logits.argmax(dim=-1))
    assert undo_smoothing(logits, 0.0) is logits


def test_sure_rays_are_sure_of_their_class_however_rare_it_is():
    """What minimises the loss, with smoothing and balance, says after all that it is sure; class 3 does not occur."""
    torch.manual_seed(0)
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    logits = torch.zeros(100, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        loss = label_loss(logits, labels, 0.1, 0.25)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = undo_smoothing(logits.detach(), 0.1).softmax(dim=-1)
    assert (said[torch.arange(100), labels] > 0.98).all()
