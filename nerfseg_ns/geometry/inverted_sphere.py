"""Sampling of NeRF++: rays inside the unit sphere, and beyond it in inverse radius (NeRF++ section 4)."""

from typing import Optional

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.model_components.ray_samplers import UniformSampler
from torch import Tensor

NEAR = 1e-4
MIN_INVERSE_RADIUS = 1e-3
"""Where the background ends: a thousand times the unit sphere's radius stands for infinity."""
LAST_DELTA = 1e10
"""Length of the last background sample: whatever passes all others is absorbed there."""


def distance_to_sphere(
    origins: Float[Tensor, "*batch 3"], directions: Float[Tensor, "*batch 3"], radius: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Distance along unit directions from points inside a sphere around the origin to the sphere.

    A point outside whose ray misses the sphere gets the distance of closest approach (a viewer's camera can be there).
    """
    along = (origins * directions).sum(dim=-1)
    discriminant = along**2 - (origins**2).sum(dim=-1) + radius**2
    return (discriminant.clamp(min=0.0).sqrt() - along).clamp(min=NEAR)


def foreground_bounds(ray_bundle: RayBundle) -> RayBundle:
    """The bundle with near and far planes at the camera and at the unit sphere."""
    ones = torch.ones_like(ray_bundle.origins[..., 0])
    far = distance_to_sphere(ray_bundle.origins, ray_bundle.directions, ones)
    ray_bundle.nears = torch.full_like(far, NEAR)[..., None]
    ray_bundle.fars = far[..., None] + NEAR
    return ray_bundle


class InvertedSphereSampler(UniformSampler):
    """Samples outside the unit sphere, uniform in inverse radius from 1 (the sphere) towards 0 (infinity).

    The deltas of the samples are in inverse radius too, as NeRF++ has them; see `inverse_radius_deltas`.
    """

    def generate_ray_samples(
        self, ray_bundle: Optional[RayBundle] = None, num_samples: Optional[int] = None
    ) -> RaySamples:
        assert ray_bundle is not None
        origins, directions = ray_bundle.origins[..., None, :], ray_bundle.directions[..., None, :]

        def to_distance(spacing: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
            inverse_radius = 1.0 - spacing * (1.0 - MIN_INVERSE_RADIUS)
            return distance_to_sphere(origins, directions, 1.0 / inverse_radius)

        template = super().generate_ray_samples(foreground_bounds(ray_bundle), num_samples)
        edges = bin_edges(template)
        distances = to_distance(edges)[..., None]
        return ray_bundle.get_ray_samples(
            bin_starts=distances[..., :-1, :],
            bin_ends=distances[..., 1:, :],
            spacing_starts=edges[..., :-1, None],
            spacing_ends=edges[..., 1:, None],
            spacing_to_euclidean_fn=to_distance,
        )


def bin_edges(samples: RaySamples) -> Float[Tensor, "rays bins"]:
    """Edges of the samples' bins in the sampler's own spacing, 0 to 1."""
    assert samples.spacing_starts is not None and samples.spacing_ends is not None
    return torch.cat([samples.spacing_starts[..., 0], samples.spacing_ends[..., -1:, 0]], dim=-1)


def inverse_radius_deltas(samples: RaySamples) -> RaySamples:
    """Background samples with their lengths in inverse radius, the last one endless."""
    edges = bin_edges(samples)
    deltas = (edges[..., 1:] - edges[..., :-1]) * (1.0 - MIN_INVERSE_RADIUS)
    samples.deltas = torch.cat([deltas[..., :-1], torch.full_like(deltas[..., -1:], LAST_DELTA)], dim=-1)[..., None]
    return samples
