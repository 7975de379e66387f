"""Rendering NeRF++ without asking at samples that hardly weigh anything, against asking at every sample."""

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.model_components.ray_samplers import PDFSampler, UniformSampler

from nerfseg_ns.core.samples import widen
from nerfseg_ns.geometry.inverted_sphere import InvertedSphereSampler, foreground_bounds, inverse_radius_deltas
from nerfseg_ns.geometry.nerfpp import NeRFPPGeometry, NeRFPPGeometryConfig
from nerfseg_ns.geometry.nerfpp_field import InvertedSphere, NeRFPPField, NeRFPPFieldConfig
from nerfseg_ns.geometry.nerfpp_skipping import enclosing_samples
from nerfseg_ns.geometry.packed import BLOCK, REACH, query_density, query_rgb, samples_to_query

SMALL = NeRFPPFieldConfig(num_layers=2, layer_width=16, view_width=8, position_frequencies=3, direction_frequencies=2)
COARSE, FINE = 80, 80 + 100 + 1
"""Samples of the two levels."""
GROUND = -0.3
"""Height below which the scene of `Ground` is solid."""


class Counting(NeRFPPField):
    """A network that remembers where it was asked, and how densely it is filled."""

    def __init__(self, outside: bool = False, gain: float = 1.0) -> None:
        super().__init__(SMALL, InvertedSphere() if outside else None)
        self.gain = gain
        self.density_positions, self.colors = [], 0

    def get_density(self, ray_samples):
        positions = ray_samples.frustums.get_positions()
        self.density_positions.append(positions.reshape(-1, 3))
        density, features = super().get_density(ray_samples)
        return self.fill(positions, density), features

    def fill(self, positions, density):
        return density * self.gain

    def get_outputs(self, ray_samples, density_embedding=None):
        self.colors += ray_samples.frustums.starts.numel()
        return super().get_outputs(ray_samples, density_embedding)

    @property
    def asked(self) -> int:
        return sum(len(positions) for positions in self.density_positions)

    def forget(self) -> None:
        self.density_positions, self.colors = [], 0


class Ground(Counting):
    """Clear air above solid ground; outside the unit sphere there is a trace of haze for the sky to end in."""

    def fill(self, positions, density):
        air = torch.full_like(density, 1e-3 if self.spatial_distortion else 0.0)
        return torch.where(positions[..., 2:] < GROUND, 80 + density, air)


def random_rays(count: int = 40, seed: int = 0) -> RayBundle:
    """Rays from inside the unit sphere into all directions."""
    torch.manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1) * torch.rand(count, 1) * 0.95
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return RayBundle(origins, directions, torch.ones(count, 1), torch.zeros(count, 1, dtype=torch.long), metadata={})


def aerial_rays(count: int, down: bool) -> RayBundle:
    """Rays from above the ground, all downwards (to the ground within the unit sphere) or all upwards."""
    rays = random_rays(count, seed=1)
    rays.origins = rays.origins * 0.3 + torch.tensor([0.0, 0.0, 0.3])
    sideways = rays.directions[:, :2] * 0.3
    rays.directions = torch.cat([sideways, torch.full((count, 1), -1.0 if down else 1.0)], dim=-1)
    rays.directions = torch.nn.functional.normalize(rays.directions, dim=-1)
    return rays


def geometry_of(network: type, gain: float = 1.0, skip_weight: float = 1e-3) -> NeRFPPGeometry:
    torch.manual_seed(2)
    config = NeRFPPGeometryConfig(num_coarse_samples=COARSE, num_importance_samples=FINE - COARSE - 1, networks=SMALL)
    geometry = config.setup().eval()
    config.skip_weight = skip_weight
    for level in (geometry.coarse, geometry.fine):
        level.foreground, level.background = network(gain=gain), network(outside=True, gain=gain)
    return geometry.eval()


def networks(geometry: NeRFPPGeometry) -> list:
    return [
        geometry.coarse.foreground,
        geometry.coarse.background,
        geometry.fine.foreground,
        geometry.fine.background,
    ]


@torch.no_grad()
def render_both(geometry: NeRFPPGeometry, rays: RayBundle) -> tuple:
    """The same rays with every sample and with skipping; the networks' counts are those of the skipping."""
    skip_weight, geometry.config.skip_weight = geometry.config.skip_weight, 0.0
    every = geometry(rays)
    for network in networks(geometry):
        network.forget()
    geometry.config.skip_weight = skip_weight
    return every, geometry(rays)


@pytest.mark.parametrize("training", [True, False])
def test_training_and_rendering_with_gradients_ask_everywhere(training):
    every, skipping = (geometry_of(Counting, 30.0, skip).train(training) for skip in (0.0, 0.1))
    rendered = []
    for geometry in (every, skipping):
        torch.manual_seed(3)
        rendered.append(geometry(random_rays()))
    for one, other in zip(*rendered, strict=True):
        assert torch.equal(one.rgb, other.rgb) and torch.equal(one.depth, other.depth)
        for a, b in zip(one.segments, other.segments, strict=True):
            assert torch.equal(a.features, b.features) and torch.equal(a.weights, b.weights)


@pytest.mark.parametrize("gain", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("skip_weight", [1e-4, 1e-2])
def test_what_is_left_out_weighs_little(gain, skip_weight):
    every, skipping = render_both(geometry_of(Counting, gain, skip_weight), random_rays())
    bound = 8 * skip_weight
    for one, other in zip(every, skipping, strict=True):
        assert torch.allclose(one.accumulation, other.accumulation, atol=bound)
        assert torch.equal(other.segments[0].transmittance, torch.ones(40, 1))
        assert torch.equal(other.segments[1].transmittance, 1 - other.accumulation)
        for a, b in zip(one.segments, other.segments, strict=True):
            assert a.features.shape == b.features.shape and a.weights.shape == b.weights.shape
            assert torch.allclose(a.positions, b.positions, atol=bound)
    assert torch.allclose(every[-1].rgb, skipping[-1].rgb, atol=bound)
    assert skipping[0].rgb.isnan().all()  # nobody asked for it


@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_features_around_what_weighs_are_true(gain):
    skip_weight, geometry = 3e-3, geometry_of(Counting, gain, 3e-3)
    _, levels = render_both(geometry, random_rays(100))
    heavy_samples = 0
    for level, fields in zip(levels, (geometry.coarse, geometry.fine), strict=True):
        for part, (segment, network) in enumerate(zip(level.segments, (fields.foreground, fields.background))):
            asked = torch.cat([*network.density_positions, torch.full((1, 3), torch.inf)])
            weights = segment.weights[..., 0]
            for ray in range(100):
                for sample in (weights[ray] > skip_weight / 10).nonzero()[:, 0].tolist():
                    heavy_samples += 1
                    near = slice(max(0, sample - REACH), sample + REACH + 1)
                    assert (segment.features[ray, near].abs().sum(dim=-1) > 0).all(), (part, ray, sample)
            silent = segment.features.abs().sum(dim=-1) == 0
            assert (weights[silent] == 0).all()
            assert len(asked.unique(dim=0)) == len(asked)  # nothing was asked twice
    assert heavy_samples > 500


@torch.no_grad()
@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("skip_weight", [1e-3, 0.1])
def test_asked_densities_are_the_networks_from_front_to_back(outside, skip_weight):
    rays, network = foreground_bounds(random_rays(30)), Counting(outside, gain=500.0)
    sampler = InvertedSphereSampler(90) if outside else UniformSampler(90)
    samples = sampler.eval()(rays)
    samples = inverse_radius_deltas(samples) if outside else samples
    chosen = torch.rand(30, 90) < 0.7
    chosen[:15] = True
    true_density, true_features = network.get_density(samples)
    density, features = query_density(network, samples, chosen, skip_weight)
    asked = features.abs().sum(dim=-1) > 0
    assert torch.allclose(density[asked], true_density[asked], rtol=1e-4)
    assert torch.allclose(features[asked], true_features[asked], atol=1e-5)
    assert (density[~asked] == 0).all()
    given_up = 0
    for ray in range(30):
        light, in_the_dark = 1.0, 0
        for sample in range(90):
            if light > skip_weight * 1.01 and chosen[ray, sample]:
                assert asked[ray, sample]
            in_the_dark += int(asked[ray, sample] and light <= skip_weight)
            light *= 1 - torch.exp(-(density * samples.deltas)[ray, sample, 0]).neg().add(1).item()
        assert in_the_dark <= (BLOCK + REACH if ray < 15 else 90)  # asked before it was known that no light gets there
        given_up += int((chosen[ray] & ~asked[ray]).any())
    assert given_up > 10


def test_nothing_chosen_is_nothing_asked():
    network = Counting()
    samples = UniformSampler(9).eval()(foreground_bounds(random_rays(5)))
    density, features = query_density(network, samples, torch.zeros(5, 9, dtype=torch.bool), 1e-3)
    assert density.shape == (5, 9, 1) and features.shape == (5, 9, 16)
    assert not density.any() and not features.any() and network.asked == 0
    assert not query_rgb(network, samples, features, torch.zeros(5, 9, dtype=torch.bool)).any()


def test_ground_from_above_needs_no_background_and_few_samples():
    geometry = geometry_of(Ground)
    every, skipping = render_both(geometry, aerial_rays(60, down=True))
    coarse, coarse_background, fine, fine_background = networks(geometry)
    assert coarse_background.asked == fine_background.asked == 0
    assert (skipping[-1].accumulation > 0.999).all()
    assert coarse.asked < 0.9 * 60 * COARSE and coarse.colors == 0
    assert fine.asked < 0.7 * 60 * FINE and fine.colors < 0.5 * 60 * FINE
    assert torch.allclose(every[-1].rgb, skipping[-1].rgb, atol=3e-3)
    assert torch.allclose(every[-1].depth, skipping[-1].depth, rtol=1e-3)


def test_sky_needs_no_fine_foreground():
    geometry = geometry_of(Ground)
    every, skipping = render_both(geometry, aerial_rays(60, down=False))
    coarse, coarse_background, fine, fine_background = networks(geometry)
    assert coarse.asked == coarse_background.asked == 60 * COARSE
    assert fine.asked == 0 and 0 < fine_background.asked < 60 * FINE
    assert torch.allclose(every[-1].rgb, skipping[-1].rgb, atol=3e-3)
    assert torch.allclose(every[-1].depth, skipping[-1].depth, rtol=1e-3)
    assert (skipping[-1].accumulation == 0).all()


def test_ground_that_the_coarse_level_does_not_see_is_seen_through():
    """The trade that the option makes: the fine level looks where the coarse one found something."""
    geometry = geometry_of(Ground)
    geometry.coarse.foreground.fill = lambda positions, density: torch.zeros_like(density)
    every, skipping = render_both(geometry, aerial_rays(20, down=True))
    assert (every[-1].accumulation > 0.99).all() and (skipping[-1].accumulation == 0).all()


@torch.no_grad()
@pytest.mark.parametrize("jittered", [False, True])
def test_fine_samples_lie_within_the_coarse_ones_said(jittered):
    rays = foreground_bounds(random_rays(20))
    coarse = UniformSampler(12).train(jittered)(rays)  # jittered: every ray has edges of its own
    fine = PDFSampler(30).eval()(rays, coarse, torch.rand(20, 12, 1) ** 6)
    found = enclosing_samples(fine, coarse)
    for ray in range(20):
        edges = coarse.frustums.starts[ray, :, 0].tolist() + [coarse.frustums.ends[ray, -1, 0].item()]
        for sample in range(43):
            start, end = fine.frustums.starts[ray, sample, 0].item(), fine.frustums.ends[ray, sample, 0].item()
            k = found[ray, sample].item()
            assert edges[k] - 1e-5 <= start <= end <= edges[k + 1] + 1e-5


def test_heaviest_samples_hold_all_but_the_skipped_share():
    torch.manual_seed(0)
    weights = torch.rand(50, 20) ** 8
    weights = weights / weights.sum(dim=1, keepdim=True)
    chosen = samples_to_query(weights, 0.1)
    for ray in range(50):
        kept, lost = weights[ray][chosen[ray]], weights[ray][~chosen[ray]]
        assert lost.sum() <= 0.1 < lost.sum() + kept.min()  # not one more could be left out
        assert kept.min() >= lost.max()
    assert not samples_to_query(torch.full((1, 10), 0.009), 0.1).any()
    assert samples_to_query(torch.full((1, 10), 0.011), 0.1).sum() == 1


def test_widen_reaches_both_ways_and_never_across_rays():
    chosen = torch.zeros(3, 9, dtype=torch.bool)
    chosen[1, 0] = chosen[1, 6] = True
    assert widen(chosen, 2).long().tolist() == [[0] * 9, [1, 1, 1, 0, 1, 1, 1, 1, 1], [0] * 9]
    assert torch.equal(widen(chosen, 0), chosen)


def test_reduced_precision_keeps_weights_in_float32():
    geometry = geometry_of(Counting, 30.0)
    with torch.autocast("cpu", torch.bfloat16):
        every, skipping = render_both(geometry, random_rays())
    assert skipping[-1].segments[0].weights.dtype == skipping[-1].rgb.dtype == torch.float32
    assert torch.allclose(every[-1].rgb, skipping[-1].rgb, atol=0.05)


def test_samples_of_a_network_are_packed_from_frustums_alone():
    network, rays = Counting(), foreground_bounds(random_rays(4))
    samples = UniformSampler(6).eval()(rays)
    index = (torch.tensor([0, 3]), torch.tensor([5, 1]))
    packed = network.get_density(RaySamples(samples.frustums[index]))[0]
    assert torch.allclose(packed[:, 0], network.get_density(samples)[0][index][:, 0], atol=1e-6)
