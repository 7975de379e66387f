"""NeRF++: encoding, inverted-sphere sampling and compositing against slow, obvious references."""

import math

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.model_components.ray_samplers import PDFSampler, UniformSampler

from nerfseg_ns.geometry.inverted_sphere import (
    InvertedSphereSampler,
    distance_to_sphere,
    foreground_bounds,
    inverse_radius_deltas,
)
from nerfseg_ns.geometry.nerfpp import NeRFPPGeometryConfig, NeRFPPLevel
from nerfseg_ns.geometry.nerfpp_field import InvertedSphere, NeRFPPField, NeRFPPFieldConfig, frequency_encoding

SMALL = NeRFPPFieldConfig(num_layers=2, layer_width=16, view_width=8, position_frequencies=3, direction_frequencies=2)


def random_rays(count: int = 7, seed: int = 0) -> RayBundle:
    """Rays from inside the unit sphere into all directions."""
    torch.manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1) * torch.rand(count, 1) * 0.95
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return RayBundle(origins, directions, torch.ones(count, 1), torch.zeros(count, 1, dtype=torch.long), metadata={})


def bisect_radius(origin: torch.Tensor, direction: torch.Tensor, radius: float) -> float:
    """Distance along a ray from inside to a sphere, by bisection."""
    origin, direction = origin.double(), direction.double()
    low, high = 0.0, 2 * radius + 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (origin + middle * direction).norm() < radius else (low, middle)
    return low


@pytest.mark.parametrize("dim", [3, 4])
def test_frequency_encoding_is_sin_and_cos_of_powers_of_two(dim):
    torch.manual_seed(0)
    x = torch.rand(5, dim) * 2 - 1
    encoded = frequency_encoding(dim, 4)(x)
    assert encoded.shape == (5, dim * (1 + 2 * 4))
    for row, values in zip(encoded, x, strict=True):
        expected = [*values.tolist()]
        for value in values.tolist():
            for k in range(4):
                expected += [math.sin(2**k * value), math.cos(2**k * value)]
        assert torch.allclose(row.sort().values, torch.tensor(expected).sort().values, atol=1e-5)


def test_distance_to_sphere_is_found_by_bisection():
    rays = random_rays(20)
    for radius in (1.0, 1.7, 40.0):
        found = distance_to_sphere(rays.origins, rays.directions, torch.full((20,), radius))
        for i in range(20):
            assert found[i].item() == pytest.approx(
                bisect_radius(rays.origins[i], rays.directions[i], radius), rel=1e-3
            )


def test_a_ray_from_outside_that_misses_the_sphere_is_finite():
    origin, direction = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert torch.isfinite(distance_to_sphere(origin, direction, torch.ones(1))).all()
    samples = InvertedSphereSampler(8).eval()(RayBundle(origin, direction, torch.ones(1, 1), metadata={}))
    assert torch.isfinite(samples.frustums.get_positions()).all()


def test_foreground_ends_at_the_unit_sphere():
    rays = foreground_bounds(random_rays())
    ends = (rays.origins + rays.fars * rays.directions).norm(dim=-1)
    assert torch.allclose(ends, torch.ones(7), atol=1e-3)
    assert (rays.nears > 0).all() and (rays.nears < 1e-3).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("importance", [0, 16])
def test_background_samples_lie_at_the_inverse_radius_that_they_claim(training, importance):
    rays = random_rays()
    samples = InvertedSphereSampler(12).train(training)(rays)
    if importance:
        weights = torch.rand(7, 12, 1)
        samples = PDFSampler(importance).train(training)(rays, samples, weights)
    starts, ends = samples.spacing_starts[..., 0], samples.spacing_ends[..., 0]
    assert starts.shape == (7, 12 if not importance else 12 + 16 + 1)
    for ray in range(7):
        for sample in range(starts.shape[1]):
            for spacing, distance in (
                (starts[ray, sample], samples.frustums.starts[ray, sample, 0]),
                (ends[ray, sample], samples.frustums.ends[ray, sample, 0]),
            ):
                inverse_radius = 1 - spacing.item() * (1 - 1e-3)
                point = rays.origins[ray].double() + distance.double() * rays.directions[ray].double()
                assert point.norm().item() == pytest.approx(1 / inverse_radius, rel=2e-3)
            middle = samples.frustums.get_positions()[ray, sample].double().norm().item()
            outer, inner = (1 - s[ray, sample].item() * (1 - 1e-3) for s in (ends, starts))
            assert 1 / inner * 0.998 <= middle <= 1 / outer * 1.002


def test_background_is_uniform_in_inverse_radius_and_reaches_far():
    rays = random_rays()
    samples = InvertedSphereSampler(50).eval()(rays)
    radii = (rays.origins[:, None] + samples.frustums.starts * rays.directions[:, None]).norm(dim=-1)
    steps = (1 / radii[:, :-1] - 1 / radii[:, 1:]).flatten()
    assert torch.allclose(steps, torch.full_like(steps, 0.999 / 50), atol=1e-4)
    assert torch.allclose(radii[:, 0], torch.ones(7), atol=1e-3)
    last = (rays.origins + samples.frustums.ends[:, -1] * rays.directions).norm(dim=-1)
    assert (last > 900).all()


def test_background_deltas_are_in_inverse_radius():
    rays = random_rays()
    samples = InvertedSphereSampler(9).train()(rays)
    starts, ends = samples.frustums.starts.clone(), samples.frustums.ends.clone()
    deltas = inverse_radius_deltas(samples).deltas
    assert deltas.shape == (7, 9, 1)
    for ray in range(7):
        for sample in range(8):
            near, far = (
                (rays.origins[ray].double() + d[ray, sample].double() * rays.directions[ray].double()).norm()
                for d in (starts, ends)
            )
            assert deltas[ray, sample, 0].item() == pytest.approx((1 / near - 1 / far).item(), abs=2e-4)
    assert (deltas[:, -1] > 1e6).all()  # what passes all others ends in the last sample


def test_inverted_sphere_coordinates():
    torch.manual_seed(0)
    positions = torch.randn(30, 3) * 5
    mapped = InvertedSphere()(positions)
    for x, y in zip(positions.tolist(), mapped.tolist(), strict=True):
        radius = math.sqrt(sum(value**2 for value in x))
        assert y == pytest.approx([x[0] / radius, x[1] / radius, x[2] / radius, 1 / radius], rel=1e-4)


@pytest.mark.parametrize("outside", [False, True])
def test_density_is_the_absolute_value_of_a_linear_layer(outside):
    rays = random_rays()
    network = NeRFPPField(SMALL, InvertedSphere() if outside else None)
    sampler = InvertedSphereSampler(20) if outside else UniformSampler(20)
    samples = sampler.train()(foreground_bounds(rays))
    with torch.no_grad():  # lets the linear layer take both signs
        network.field_output_density.net.bias -= network.field_output_density.net(
            network.get_density(samples)[1]
        ).mean()
    density, features = network.get_density(samples)
    linear = network.field_output_density.net(features)
    assert (linear < 0).any() and (linear > 0).any()
    assert torch.equal(density, linear.abs()) and (density >= 0).all()
    assert (features >= 0).all() and features.shape == (7, 20, 16)


@pytest.mark.parametrize("layers", range(1, 10))
def test_location_mlp_of_any_depth(layers):
    network = NeRFPPField(NeRFPPFieldConfig(num_layers=layers, layer_width=16, view_width=8), InvertedSphere())
    density, features = network.get_density(InvertedSphereSampler(3)(random_rays()))
    assert density.shape == (7, 3, 1) and features.shape == (7, 3, 16)


def test_a_level_is_the_explicit_sum_over_its_samples():
    torch.manual_seed(3)
    rays, level = foreground_bounds(random_rays()), NeRFPPLevel(SMALL)
    with torch.no_grad():  # denser, so that both parts and the passage between them count
        for network in (level.foreground, level.background):
            network.field_output_density.net.weight.mul_(4)
    foreground, background = UniformSampler(10).train()(rays), InvertedSphereSampler(11).train()(rays)
    lengths = [
        foreground.frustums.ends - foreground.frustums.starts,
        (background.spacing_ends - background.spacing_starts) * (1 - 1e-3),
    ]
    rendered = level(foreground, background)

    expected, depth = torch.zeros(7, 3), torch.full((7,), torch.nan)
    passed = torch.ones(7)  # what is left of the light, running through the foreground and on through the background
    inside = torch.zeros(7)
    for part, (network, samples) in enumerate(((level.foreground, foreground), (level.background, background))):
        density, features = network.get_density(samples)
        colors = network.get_outputs(samples, features)[FieldHeadNames.RGB]
        count = density.shape[1]
        for ray in range(7):
            for i in range(count):
                last_of_all = part == 1 and i == count - 1
                alpha = 1.0 if last_of_all else 1 - math.exp(-(density[ray, i, 0] * lengths[part][ray, i, 0]).item())
                weight = passed[ray].item() * alpha
                expected[ray] += weight * colors[ray, i]
                absorbed = 1 - passed[ray].item()
                if absorbed < 0.5 <= absorbed + weight:  # the sample within which half of the light is gone
                    start, end = samples.frustums.starts[ray, i, 0], samples.frustums.ends[ray, i, 0]
                    depth[ray] = start + (0.5 - absorbed) / weight * (end - start)
                inside[ray] += weight if part == 0 else 0.0
                passed[ray] *= 1 - alpha
    assert torch.allclose(rendered.rgb, expected, atol=1e-5)
    assert torch.allclose(rendered.accumulation[:, 0], inside, atol=1e-5)
    assert torch.allclose(rendered.depth[:, 0], depth, rtol=1e-3)
    assert 0.05 < inside.mean() < 0.95
    assert torch.equal(rendered.segments[0].transmittance, torch.ones(7, 1))
    assert torch.allclose(rendered.segments[1].transmittance[:, 0], 1 - inside, atol=1e-5)


def test_segments_hold_what_the_level_was_rendered_with():
    geometry = NeRFPPGeometryConfig(num_coarse_samples=6, num_importance_samples=8, networks=SMALL).setup()
    coarse, fine = geometry(random_rays())
    assert [segment.features.shape for segment in coarse.segments] == [(7, 6, 16)] * 2
    assert [segment.features.shape for segment in fine.segments] == [(7, 6 + 8 + 1, 16)] * 2
    for level, layout in zip((coarse, fine), geometry.levels, strict=True):
        assert layout.feature_dims == tuple(segment.features.shape[-1] for segment in level.segments)
        for segment in level.segments:
            assert (segment.weights >= 0).all() and (segment.weights.sum(dim=1) <= 1 + 1e-5).all()
        assert torch.allclose(level.segments[1].weights.sum(dim=1), torch.ones(7, 1), atol=1e-5)


def test_fine_level_samples_where_the_coarse_one_found_matter():
    torch.manual_seed(0)
    rays = foreground_bounds(random_rays(1))
    samples = UniformSampler(10).eval()(rays)
    weights = torch.zeros(1, 10, 1)
    weights[0, 4] = 1.0
    finer = PDFSampler(40).eval()(rays, samples, weights)
    starts = finer.frustums.starts[0, :, 0]
    assert torch.equal(starts, starts.sort().values)
    inside = (starts >= samples.frustums.starts[0, 4, 0]) & (starts <= samples.frustums.ends[0, 4, 0])
    assert inside.sum() > 30


def test_both_levels_learn_from_the_color():
    torch.manual_seed(0)
    geometry = NeRFPPGeometryConfig(num_coarse_samples=6, num_importance_samples=8, networks=SMALL).setup()
    image = torch.rand(7, 3)
    levels = geometry(random_rays())
    losses = geometry.get_losses(levels, image, step=0)
    assert sum(losses.values()).item() == pytest.approx(sum(((x.rgb - image) ** 2).mean().item() for x in levels))
    sum(losses.values()).backward()
    assert all(
        parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in geometry.parameters()
    )
