"""Crowns made of leaves: small faces at many depths, of many shades, that hide each other.

What one photo sees of such a crown another one, some metres apart, does not see again: as with real trees, feature
matching finds next to nothing there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from nerfseg_ns.town.classes import Material
from nerfseg_ns.town.meshes import Geometry, MeshBuilder

STREAM = 4
"""Of the seed's random numbers: another one than the layout's, so that trees stand where they stand without leaves."""
COVERAGE = 1.5
"""Area of all leaves as a share of the crown's surface."""
DEPTH = 0.5
"""How deep leaves lie, as a share of a crown's smallest half extent."""
DEEPEST = 1.5
"""Metres; no leaf lies deeper, however large the crown."""
FRAY = 0.25
"""How far leaves stand out of the crown, as a share of the depth."""
LOWEST = -0.1
"""Surfaces that look down more than this (z of their normal) are bare: no photo from above shows them."""
TILT = 0.9
"""How much the leaves' directions differ from the crown's own."""
INNER_SHADE = 0.3
"""Brightness of the crown's inside, where little light gets; leaves lie between that and the outermost ones'."""
SPREAD = 0.45
"""Deviation of the logarithm of single leaves' brightness."""


class LeafyBuilder(MeshBuilder):
    """A builder whose crowns, bushes and hedges are of leaves around a dark inside.

    Args:
        seed: of the town.
        leaf_size: width of a leaf in metres.
    """

    def __init__(self, seed: int, leaf_size: float) -> None:
        super().__init__()
        self.leaf_size, self.rng = leaf_size, np.random.default_rng([seed, STREAM])

    def dress(self, geometry: Geometry, material: Material) -> tuple[Geometry, Material, Float[ndarray, " faces"]]:
        if material != Material.LEAVES:
            return super().dress(geometry, material)
        geometry, shades = leafy(geometry, self.leaf_size, self.rng)
        return geometry, Material.LEAF, shades


def leafy(crown: Geometry, size: float, rng: np.random.Generator) -> tuple[Geometry, Float[ndarray, " faces"]]:
    """A crown's inside and its leaves.

    Args:
        crown: convex, more or less; metres.
        size: width of a leaf, metres.
        rng: draws the leaves.

    Returns:
        Triangles and how bright each is.
    """
    vertices, faces = crown
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2
    depth = min(DEPTH * half.min(), DEEPEST)
    inside = centre + (vertices - centre) * (1 - depth / half)
    places, outward = _scatter(crown, size, rng)
    below = depth * rng.uniform(-FRAY, 1, (len(places), 1))
    places = centre + (places - centre) * (1 - below / half)
    leaves = _triangles(places, outward, size, rng)
    light = INNER_SHADE + (1 - INNER_SHADE) * (1 - below[:, 0].clip(0) / depth)
    shades = light * np.exp(SPREAD * rng.standard_normal(len(places)))
    triangles = np.arange(len(vertices), len(vertices) + 3 * len(places)).reshape(-1, 3)
    geometry = np.concatenate([inside, leaves.reshape(-1, 3)]), np.concatenate([faces, triangles])
    return geometry, np.concatenate([np.full(len(faces), INNER_SHADE), shades])


def _scatter(crown: Geometry, size: float, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Places [n, 3] on the crown's surface, as many as leaves are to lie there, and its normals at them."""
    corners = crown[0][crown[1]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = np.linalg.norm(cross, axis=1)
    normals = cross / np.maximum(double_area, 1e-12)[:, None]
    area = np.where(normals[:, 2] > LOWEST, double_area / 2, 0)
    count = int(np.ceil(COVERAGE * area.sum() / (np.sqrt(3) / 4 * size**2)))
    chosen = rng.choice(len(area), count, p=area / area.sum())
    weights = rng.dirichlet([1, 1, 1], count)
    return (weights[:, :, None] * corners[chosen]).sum(axis=1), normals[chosen]


def _triangles(places: ndarray, outward: ndarray, size: float, rng: np.random.Generator) -> Float[ndarray, "n 3 3"]:
    """A leaf at each place, some larger, some smaller, facing more or less outward."""
    count = len(places)
    normals = outward + TILT * rng.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    along = np.cross(normals, rng.standard_normal((count, 3)))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(normals, along)
    angles = 2 * np.pi / 3 * np.arange(3) + rng.uniform(-0.4, 0.4, (count, 3))
    radius = size / np.sqrt(3) * rng.uniform(0.6, 1.4, (count, 1))
    x, y = radius * np.cos(angles), radius * np.sin(angles)
    return places[:, None] + x[..., None] * along[:, None] + y[..., None] * across[:, None]
