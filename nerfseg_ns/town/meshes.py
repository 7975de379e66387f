"""Primitive meshes and the builder that merges them, with a class, a material and colors per part."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import trimesh
from jaxtyping import Float, Int
from numpy import ndarray

from nerfseg_ns.town.classes import Label, Material

Geometry = tuple[Float[ndarray, "vertices 3"], Int[ndarray, "faces 3"]]
Color = tuple[float, float, float]

GAMMA = 2.2
"""Of the town's tone curve: display values to that power are light."""


@dataclass(frozen=True)
class TownMesh:
    """All triangles in metres; per part (a wall, a roof, a tree's crown) its class and how it is painted."""

    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]
    normals: Float[ndarray, "faces 3"]
    face_part: Int[ndarray, " faces"]
    shades: Float[ndarray, " faces"]
    """Factor on the color, of leaves; 1 elsewhere."""
    labels: Int[ndarray, " parts"]
    materials: Int[ndarray, " parts"]
    colors: Float[ndarray, "parts 3"]
    accents: Float[ndarray, "parts 3"]
    origins: Float[ndarray, "parts 3"]
    yaws: Float[ndarray, " parts"]


@dataclass
class MeshBuilder:
    """Collects parts; `build` merges them into one mesh."""

    vertices: list = field(default_factory=list)
    faces: list = field(default_factory=list)
    parts: list = field(default_factory=list)
    shades: list = field(default_factory=list)
    count: int = 0
    growth: float = 1.0
    """How much taller and wider trees are."""

    def dress(self, geometry: Geometry, material: Material) -> tuple[Geometry, Material, Float[ndarray, " faces"]]:
        """What a part is really made of, and a factor on the color of each triangle; builders may know better."""
        return geometry, material, np.ones(len(geometry[1]))

    def add(
        self,
        geometry: Geometry,
        label: Label,
        material: Material,
        color: Color = (128, 128, 128),
        accent: Color = (90, 90, 90),
        at: tuple[float, float, float] = (0.0, 0.0, 0.0),
        yaw: float = 0.0,
    ) -> None:
        """Adds one part, turned by `yaw` radians about its own z axis, then moved to `at` metres.

        Args:
            geometry: Vertices and triangles in the part's own frame.
            label: Its class.
            material: How it is painted.
            color: Main color, sRGB 0 to 255.
            accent: Second color of the material (window frames, stains, other leaves), sRGB 0 to 255.
            at: Where its origin goes; texture coordinates start there too.
            yaw: Turn about z in radians.
        """
        (local, triangles), material, shades = self.dress(geometry, material)
        cosine, sine = np.cos(yaw), np.sin(yaw)
        turned = local @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
        self.vertices.append(turned + np.asarray(at))
        self.faces.append(np.asarray(triangles) + self.count)
        self.parts.append((int(label), int(material), color, accent, at, yaw, len(triangles)))
        self.shades.append(shades)
        self.count += len(local)

    def build(self) -> TownMesh:
        """Merges all parts."""
        vertices, faces = np.concatenate(self.vertices), np.concatenate(self.faces).astype(np.int32)
        corner = vertices[faces]
        normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        label, material, color, accent, at, yaw, size = zip(*self.parts, strict=True)
        return TownMesh(
            vertices=vertices,
            faces=faces,
            normals=normals,
            face_part=np.repeat(np.arange(len(size)), size),
            shades=np.concatenate(self.shades),
            labels=np.array(label),
            materials=np.array(material),
            colors=linear(np.array(color)),
            accents=linear(np.array(accent)),
            origins=np.array(at, dtype=np.float64),
            yaws=np.array(yaw),
        )


def linear(srgb: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
    """Linear reflectance of an sRGB color of 0 to 255."""
    return (np.asarray(srgb, dtype=np.float64) / 255) ** GAMMA


def box_sides(length: float, width: float, height: float, base: float = 0.0) -> Geometry:
    """The four upright faces of a box, centred on the z axis, from `base` to `height`."""
    x, y = length / 2, width / 2
    ring = np.array([(-x, -y), (x, -y), (x, y), (-x, y)])
    vertices = np.concatenate([np.column_stack([ring, np.full(4, z)]) for z in (base, height)])
    faces = [f for i in range(4) for f in ((i, (i + 1) % 4, 4 + (i + 1) % 4), (i, 4 + (i + 1) % 4, 4 + i))]
    return vertices, np.array(faces)


def flat_top(length: float, width: float, height: float) -> Geometry:
    """A level rectangle at `height`, facing up."""
    x, y = length / 2, width / 2
    return np.array([(-x, -y, height), (x, -y, height), (x, y, height), (-x, y, height)]), np.array(
        [(0, 1, 2), (0, 2, 3)]
    )


def box(length: float, width: float, height: float, base: float = 0.0) -> Geometry:
    """A box without a floor."""
    sides, top = box_sides(length, width, height, base), flat_top(length, width, height)
    return np.concatenate([sides[0], top[0]]), np.concatenate([sides[1], top[1] + 8])


def pitched_roof(length: float, width: float, base: float, rise: float, hip: float = 0.0) -> Geometry:
    """Two slopes and two ends on a rectangle; the ridge runs along x and is `hip` metres shorter at either end."""
    x, y, ridge = length / 2, width / 2, max(length / 2 - hip, 0.0)
    vertices = np.array(
        [(-x, -y, base), (x, -y, base), (x, y, base), (-x, y, base), (-ridge, 0, base + rise), (ridge, 0, base + rise)]
    )
    return vertices, np.array([(0, 1, 5), (0, 5, 4), (2, 3, 4), (2, 4, 5), (1, 2, 5), (3, 0, 4)])


def gable_slopes(length: float, width: float, base: float, rise: float) -> Geometry:
    """The two slopes of a gable roof; its ends (`gable_ends`) belong to the walls."""
    vertices, faces = pitched_roof(length, width, base, rise)
    return vertices, faces[:4]


def gable_ends(length: float, width: float, base: float, rise: float) -> Geometry:
    """The two upright triangles under a gable roof."""
    vertices, faces = pitched_roof(length, width, base, rise)
    return vertices, faces[4:]


def cylinder(radius: float, height: float, sections: int = 8, base: float = 0.0, tip: float = 1.0) -> Geometry:
    """An upright cylinder with a lid, or with `tip` below 1 a cone cut at `tip` of its radius."""
    angle = np.linspace(0, 2 * np.pi, sections, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) * radius
    lower = np.column_stack([ring, np.full(sections, base)])
    upper = np.column_stack([ring * tip, np.full(sections, height)])
    i, j = np.arange(sections), (np.arange(sections) + 1) % sections
    lid = np.full(sections, 2 * sections)
    faces = [
        np.stack(f, -1)
        for f in ((i, j, j + sections), (i, j + sections, i + sections), (i + sections, j + sections, lid))
    ]
    return np.concatenate([lower, upper, [[0, 0, height]]]), np.concatenate(faces)


def blob(rng: np.random.Generator, radius: float, height: float, centre: float, subdivisions: int = 1) -> Geometry:
    """A bumpy ellipsoid, `height` metres tall around the level `centre`: a tree's crown, a bush, a boulder."""
    sphere = _icosphere(subdivisions)
    bumps = 1 + 0.16 * rng.standard_normal((len(sphere[0]), 1)).clip(-1.5, 1.5)
    return sphere[0] * bumps * (radius, radius, height / 2) + (0, 0, centre), sphere[1]


@cache
def _icosphere(subdivisions: int) -> Geometry:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    return np.array(sphere.vertices), np.array(sphere.faces)
