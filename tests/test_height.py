"""The height above the ground: where the ground is, where rays end, and what heights say of classes."""

from __future__ import annotations

import math

import pytest
import torch

from nerfseg_ns.errors import UserError
from nerfseg_ns.geometry.base import RaySegment
from nerfseg_ns.geometry.ground import CELLS, Ground, surface_points
from nerfseg_ns.geometry.scene_frame import SceneFrame
from nerfseg_ns.semantics.height_opinion import HeightOpinion, HeightOpinionConfig

SLOPE = 0.2
HOUSE = 0.3
"""Height of the houses here, in units of the frame."""


def terrain(points: int = 200_000, seed: int = 0) -> torch.Tensor:
    """Points of a slope with houses, 0.1 wide, on a third of it, and a thousandth of them far below."""
    generator = torch.Generator().manual_seed(seed)
    ground = 2 * torch.rand(points, 2, generator=generator) - 1
    heights = SLOPE * ground[:, 0] - 0.5 + HOUSE * is_house(ground)
    heights[:: points // 200] -= 0.4
    return torch.cat([ground, heights[:, None]], dim=1)


def is_house(points: torch.Tensor) -> torch.Tensor:
    return ((points[:, 0] % 0.3 < 0.1) & (points[:, 1] % 0.3 < 0.1)).float()


def places(count: int = 4000) -> torch.Tensor:
    """On the slope itself, away from the border of the scene and from the borders of houses."""
    ground = 1.8 * torch.rand(count, 2, generator=torch.Generator().manual_seed(1)) - 0.9
    clear = ((ground % 0.3 - 0.05).abs() - 0.05).abs().amin(dim=1) > 0.02
    return ground[clear]


def test_houses_stand_on_the_ground_and_slopes_are_ground():
    ground = Ground()
    ground.fit(terrain(), (0.1, 0.1))
    at = places()
    low = torch.cat([at, (SLOPE * at[:, :1] - 0.5)], dim=1)
    assert ground.height_above(low).abs().max() < 0.05
    high = low + torch.tensor([0, 0, HOUSE])
    torch.testing.assert_close(ground.height_above(high), ground.height_above(low) + HOUSE)


def test_what_is_wider_than_the_window_is_ground():
    points = terrain()
    points[:, 2] = torch.where(points[:, 0].abs() < 0.4, 0.3, -0.2)  # a plateau
    ground = Ground()
    ground.fit(points, (0.1, 0.1))
    middle = torch.tensor([[0.0, 0.0, 0.3], [0.9, 0.0, -0.2]])
    assert ground.height_above(middle).abs().max() < 0.02
    ground.fit(points, (0.5, 0.5))
    torch.testing.assert_close(ground.height_above(middle), torch.tensor([0.5, 0.0]), atol=0.02, rtol=0)


def test_the_opening_is_that_of_the_slow_loops():
    """Cell by cell: the median of the neighbours, the least of these in the window, the largest of these in it."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand(CELLS, CELLS, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
    centres = torch.stack([columns, rows], dim=-1).flatten(0, 1)
    points = torch.cat([(centres + 0.5) * 2 / CELLS - 1, cells.flatten()[:, None]], dim=1)
    ground = Ground()
    ground.fit(points, (2 * 3 / CELLS, 2 * 2 / CELLS))  # three columns and two rows either way

    def window(values, row, column, most):
        part = values[max(0, row - 2) : row + 3, max(0, column - 3) : column + 4]
        return part.max() if most else part.min()

    medians = cells.clone()
    for row in range(1, CELLS - 1):
        for column in range(1, CELLS - 1):
            medians[row, column] = cells[row - 1 : row + 2, column - 1 : column + 2].median()

    def slow(row, column):  # of an area around the cell alone
        least = torch.tensor(
            [[window(medians, r, c, False) for c in range(column - 5, column + 6)] for r in range(row - 4, row + 5)]
        )
        opened = [least[2 + r - 2 : 2 + r + 3, 3 + c - 3 : 3 + c + 4].max() for r in range(5) for c in range(5)]
        return torch.stack(opened).mean()  # smoothed over five by five

    for row, column in ((50, 60), (100, 120), (77, 31)):
        assert float(ground.heights[row, column]) == pytest.approx(float(slow(row, column)), abs=1e-5)


def test_empty_scenes_have_a_ground():
    ground = Ground()
    ground.fit(torch.tensor([[0.5, 0.5, 0.2], [0.5, 0.5, 0.2]]), (0.05, 0.05))
    assert ground.heights.isfinite().all()


def test_rays_end_where_half_of_their_light_is_absorbed():
    positions = torch.arange(5.0)[None, :, None].expand(3, -1, 3)
    weights = torch.tensor([[0, 0.2, 0.2, 0.6, 0], [0.9, 0.05, 0, 0, 0.05], [0, 0, 0, 0, 0]])[..., None]
    segment = RaySegment(torch.zeros(3, 5, 1), positions, weights, torch.ones(3, 1))
    assert surface_points([segment])[:, 0].tolist() == [3, 0, 0]


def frame_of(scale: float = 2.0) -> SceneFrame:
    """A frame twice as wide as high; the cameras fly at three times its half height."""
    frame = SceneFrame()
    frame.half_size.copy_(torch.tensor([scale, scale, scale / 2]))
    return frame


CAMERAS = torch.tensor([[0.0, 0.0, 3.0], [1.0, 1.0, 3.0]])


def learnt(labels: torch.Tensor, points: torch.Tensor, classes: int = 4, **options) -> HeightOpinion:
    opinion = HeightOpinion(HeightOpinionConfig(weight=2.0, **options), classes)
    opinion.learn(frame_of(), CAMERAS, points, points, labels)
    return opinion


def test_what_stands_high_is_a_house_wherever_it_stands():
    """Labels of the left half: 0 ground, 1 house; 2 is shown by no label at all."""
    points = terrain()
    left = points[points[:, 0] < 0]
    opinion = learnt(is_house(left).long(), left, classes=3, window=0.3)
    opinion.ground.fit(points, (0.1, 0.1))
    assert opinion.gain > 0.5 and opinion.weight == 2.0
    at = places()
    right = torch.cat([at, SLOPE * at[:, :1] - 0.5 + HOUSE * is_house(at)[:, None]], dim=1)[at[:, 0] > 0.1]
    told = opinion(right).exp()
    torch.testing.assert_close(told.sum(dim=1), torch.ones(len(right)))
    assert (told.argmax(dim=1) == is_house(right)).float().mean() > 0.98
    assert (told[:, 2] < told.max(dim=1).values).all()


def test_heights_that_say_nothing_have_no_say():
    points = terrain()
    random = torch.randint(4, (len(points),), generator=torch.Generator().manual_seed(0))
    opinion = learnt(random, points)
    assert abs(float(opinion.gain)) < 0.05 and opinion.weight == 0
    assert HeightOpinion(HeightOpinionConfig(weight=1.0), 4).weight == 0  # not learnt yet


def test_one_class_tells_nothing():
    points = terrain(20_000)
    opinion = learnt(torch.zeros(len(points), dtype=torch.long), points)
    assert opinion.weight == 0 and opinion(points[:10]).isfinite().all()


def test_heights_are_in_flight_heights():
    """The frame is 2 high, the ground at its middle: the cameras fly 3 above it."""
    points = terrain()
    points[:, 2] = 0.0
    opinion = learnt(torch.zeros(len(points), dtype=torch.long), points)
    above = torch.tensor([[0.0, 0.0, 0.6]])  # 0.6 of the half height, which is 1
    assert float(opinion.heights(above)) == pytest.approx(0.6 / 3, abs=1e-3)


def test_the_gain_is_that_of_the_classes_alike():
    """Heights that give the class away are worth the logarithm of the number of classes, but for the outliers."""
    points = terrain()
    points[:, 2] = 0.0
    labels = torch.randint(2, (len(points),), generator=torch.Generator().manual_seed(0))
    labels[: len(points) // 2] = 0  # one of them is three times as frequent
    points[:, 2] = 0.9 * labels - 0.9
    opinion = learnt(labels, points, classes=2, window=0.2)
    assert float(opinion.gain) == pytest.approx(math.log(2), abs=0.1)


def with_height(config):
    config.pipeline.model.height = HeightOpinionConfig(weight=2.0, least_gain=-9.0, full_gain=-9.0, rays=500)


def test_a_run_learns_heights_and_its_views_know_them(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 3, 4, change=with_height)
    pipeline, model = trainer.pipeline, trainer.pipeline.model
    step_trainer(trainer, range(3))
    assert not model.height.is_learnt and model.fusion.height_weight == 0
    step_trainer(trainer, range(3, 7))
    assert model.height.is_learnt and model.fusion.height_weight == 2.0
    trainer.save_checkpoint(6)
    pipeline.eval()
    camera = pipeline.datamanager.eval_dataset.cameras[0:1]
    with torch.no_grad(), model.keeping_ray_features():
        outputs = model.get_view(camera)
        observed = model.classify_observed(outputs, outputs["rgb"])
    rays = camera.generate_rays(camera_indices=0, keep_shape=True).flatten()
    with torch.no_grad():
        level = model.render(rays)[-1]
        features, transmittances = model.semantics.render_features(level)
        own = model.semantics.classify(features, transmittances, level.rgb.clamp(0, 1))
        told = model.height(surface_points(level.segments))
    floor, classes = 0.1, own.shape[1]
    product = sum(
        weight * (0.9 * opinion.softmax(-1) + floor / classes).log()
        for weight, opinion in ((1.0, own), (2.0 * level.accumulation.clamp(0, 1), told))
    )
    context = model.color_context
    if context is not None:
        seen = context.classify(outputs["rgb"]).flatten(0, 1)
        product += context.config.weight * (0.9 * seen.softmax(-1) + floor / classes).log()
    torch.testing.assert_close(observed.flatten(0, 1), product, atol=5e-3, rtol=0)

    resumed = make_trainer(small_town, 3, 4, change=with_height, load_dir=trainer.checkpoint_dir, timestamp="again")
    again = resumed.pipeline.model.height
    assert again.is_learnt and torch.equal(again.probabilities, model.height.probabilities)
    assert torch.equal(again.ground.heights, model.height.ground.heights)


def test_a_run_from_before_there_were_heights_is_resumed(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 2, 4)
    step_trainer(trainer, range(3))
    trainer.save_checkpoint(2)
    resumed = make_trainer(small_town, 2, 4, change=with_height, load_dir=trainer.checkpoint_dir, timestamp="again")
    assert not resumed.pipeline.model.height.is_learnt
    step_trainer(resumed, range(3, 5))
    assert resumed.pipeline.model.height.is_learnt


def test_geometries_without_a_ground_do_without(small_town, make_trainer, step_trainer, capsys):
    trainer = make_trainer(small_town, 1, 2, method="nerfseg", change=with_height)
    assert trainer.pipeline.model.height is None and "which way is up" in capsys.readouterr().out
    assert "f2s_loss" in step_trainer(trainer, range(2))


def test_lengths_of_the_world_are_lengths_of_the_grid():
    frame = frame_of()
    for axis, length in enumerate(frame.lengths_in_grid(0.3)):
        step = torch.zeros(3)
        step[axis] = 0.3
        moved = frame.to_grid(frame.centre + step) - frame.to_grid(frame.centre)
        assert float(moved[axis]) == pytest.approx(length)


@pytest.mark.parametrize(
    "options", [{"weight": -1.0}, {"window": 0.0}, {"rays": 0}, {"least_gain": 0.5, "full_gain": 0.1}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(UserError, match="pipeline.model.height"):
        HeightOpinion(HeightOpinionConfig(**options), 3)
