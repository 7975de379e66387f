"""Ray casting with Embree and shading: one view into colors, labels and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from nerfseg_ns.town.classes import GROUND_LABELS, Label, Material
from nerfseg_ns.town.easy import give_away
from nerfseg_ns.town.layout import Town
from nerfseg_ns.town.meshes import GAMMA
from nerfseg_ns.town.moment import Moment
from nerfseg_ns.town.textures import Noise, Surface, shade, shade_ground

CHUNK = 1 << 18
"""Rays at a time; bounds the memory."""
CEILING = 200.0
"""Metres; above all that a town has."""
SHADOW_OFFSET = 0.03
"""Metres from a surface at which its shadow rays start."""

Points = Float[ndarray, "n 3"]


@dataclass(frozen=True)
class View:
    """One rendered view."""

    color: Float[ndarray, "height width 3"]
    """Display colors from 0 (black) to 1, as they are before a camera's faults."""
    label: UInt8[ndarray, "height width"]
    depth: Float[ndarray, "height width"]
    """Distance along the ray in metres, infinite where there is sky."""

    @property
    def rgb(self) -> UInt8[ndarray, "height width 3"]:
        """The colors in 8 bits."""
        return np.round(255 * self.color.clip(0, 1)).astype(np.uint8)


class Renderer:
    """Casts rays at a town. Light and textures belong to the town's seed.

    Args:
        town: to look at.
        seed: of the town.
        easy: give every class a color of its own.
        sun_width: diameter of the sun in degrees; 0 for hard shadows.
        wind: how much it turns leaves from view to view, which changes their brightness.
    """

    def __init__(self, town: Town, seed: int, easy: bool = False, sun_width: float = 0.0, wind: float = 0.0) -> None:
        rng = np.random.default_rng([seed, 3])
        self.town, self.mesh, self.easy, self.sun_width, self.wind = town, town.mesh, easy, sun_width, wind
        self._seed, self._now = seed, Moment(seed, np.zeros(3))
        self.noise = Noise(rng)
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(42, 56))
        self.sun = np.array(
            [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)], np.float32
        )
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, self.mesh.vertices.astype(np.float32), self.mesh.faces.astype(np.int32))
        self._tangents, self._slopes = _frames(self.mesh.normals, self.mesh.yaws[self.mesh.face_part])

    def view(
        self,
        pose: Float[ndarray, "4 4"],
        camera: Float[ndarray, "4 4"],
        size: int,
        supersampling: int,
        distortion: float = 0.0,
    ) -> View:
        """Renders one view.

        Args:
            pose: Camera-to-world matrix in metres, OpenCV axes.
            camera: Pinhole matrix in pixels.
            size: Width and height in pixels.
            supersampling: Color rays per pixel and axis.
            distortion: of the lens, see `lens_distortion`.
        """
        self._now = Moment(self._seed, pose[:3, 3])
        centres = np.arange(size) + 0.5
        directions = _directions(pose, camera, distortion, centres, centres)
        hit = self._cast(pose[:3, 3], directions.reshape(-1, 3))
        label = self._labels(hit).reshape(size, size)
        depth = hit.distance.reshape(size, size)
        fine = (np.arange(size * supersampling) + 0.5) / supersampling
        angle = 1.0 / (camera[0, 0] * supersampling)
        rows = max(CHUNK // len(fine) // supersampling, 1) * supersampling
        color = np.empty((len(fine), len(fine), 3), np.float32)
        for start in range(0, len(fine), rows):
            block = _directions(pose, camera, distortion, fine, fine[start : start + rows])
            color[start : start + rows] = self._colors(pose[:3, 3], block.reshape(-1, 3), angle).reshape(block.shape)
        color = color.reshape(size, supersampling, size, supersampling, 3).mean(axis=(1, 3))
        return View(color, label, depth)

    def look_down(self, xs: Float[ndarray, "rows columns"], ys: Float[ndarray, "rows columns"], side: float) -> View:
        """The town straight from above, each pixel seen along its own ray.

        Args:
            xs: of the pixels, metres.
            ys: of the pixels.
            side: of a pixel, for textures; metres.

        Returns:
            Colors, labels, and as `depth` the height of the surface in metres; minus infinity where there is none.
        """
        self._now = Moment(self._seed, np.zeros(3))
        size = xs.shape
        places = np.stack([xs.ravel(), ys.ravel(), np.full(xs.size, CEILING)], axis=-1)
        down = np.broadcast_to(np.float32([0, 0, -1]), places.shape)
        labels, heights, colors = [], [], []
        for start in range(0, len(places), CHUNK):
            origins, rays = places[start : start + CHUNK], np.ascontiguousarray(down[start : start + CHUNK])
            hit = self._cast(origins, rays)
            labels.append(self._labels(hit))
            heights.append(CEILING - hit.distance)
            colors.append(self._colors(origins, rays, side / CEILING))
        color = np.concatenate(colors).reshape(*size, 3)
        return View(color, np.concatenate(labels).reshape(size), np.concatenate(heights).reshape(size))

    def _cast(self, origin: Float[ndarray, "*rays 3"], directions: Points) -> _Hit:
        origins = np.broadcast_to(origin.astype(np.float32), directions.shape)
        found = self._scene.run(np.ascontiguousarray(origins), directions, output=1)
        face = found["primID"].astype(np.int64)
        distance = np.where(face >= 0, found["tfar"], np.float32(np.inf))
        seen = np.flatnonzero(face >= 0)
        points = origins[seen] + directions[seen] * distance[seen, None]
        return _Hit(seen, face[seen], points, distance)

    def _labels(self, hit: _Hit) -> UInt8[ndarray, " rays"]:
        labels = np.full(len(hit.distance), Label.SKY, np.uint8)
        labels[hit.seen] = self._seen_labels(hit)
        return labels

    def _seen_labels(self, hit: _Hit) -> UInt8[ndarray, " hits"]:
        part = self.mesh.face_part[hit.face]
        label = self.mesh.labels[part].astype(np.uint8)
        ground = self.mesh.materials[part] == Material.GROUND
        label[ground] = GROUND_LABELS[self.town.ground.kind_at(hit.points[ground, 0], hit.points[ground, 1])]
        return label

    def _colors(self, origin: Float[ndarray, "*rays 3"], directions: Points, angle: float) -> Float[ndarray, "n 3"]:
        """Display colors of rays; `angle` is the opening of one ray in radians."""
        colors = sky_color(directions, self.sun)
        hit = self._cast(origin, directions)
        normals = self._normals(hit)
        facing = np.maximum(np.abs((normals * directions[hit.seen]).sum(1)), 0.25)
        footprint = hit.distance[hit.seen] * np.float32(angle) / np.sqrt(facing)
        reflectance = self._reflectance(hit, footprint)
        colors[hit.seen] = _tone(reflectance * self._light(hit.points, normals))
        return colors

    def _normals(self, hit: _Hit) -> Points:
        """Shading normals: smooth on the ground, the triangle's elsewhere."""
        part = self.mesh.face_part[hit.face]
        normals = self.mesh.normals[hit.face].astype(np.float32)
        material = self.mesh.materials[part]
        ground = np.flatnonzero(material == Material.GROUND)
        normals[ground] = self.town.ground.normal_at(hit.points[ground, 0], hit.points[ground, 1])
        return normals

    def _light(self, points: Points, normals: Points) -> Float[ndarray, "n 3"]:
        """Sun with cast shadows plus the sky's light, as a factor on the reflectance."""
        facing = np.maximum(normals @ self.sun, 0)
        lit = np.flatnonzero(facing > 0)
        starts = points[lit] + SHADOW_OFFSET * normals[lit] + SHADOW_OFFSET * self.sun
        rays = self._now.towards_sun(self.sun, self.sun_width, len(starts))
        blocked = self._scene.run(np.ascontiguousarray(starts, np.float32), rays, query="OCCLUDED") >= 0
        sun = facing.copy()
        sun[lit[blocked]] = 0
        sky = 0.62 + 0.38 * normals[:, 2]
        return sun[:, None] * np.float32([1.42, 1.34, 1.2]) + sky[:, None] * np.float32([0.32, 0.37, 0.45])

    def _reflectance(self, hit: _Hit, footprint: Float[ndarray, " n"]) -> Float[ndarray, "n 3"]:
        part = self.mesh.face_part[hit.face]
        material = self.mesh.materials[part]
        reflectance = np.empty((len(part), 3), np.float32)
        for kind in np.unique(material):
            chosen = np.flatnonzero(material == kind)
            points, foot = hit.points[chosen], footprint[chosen]
            if kind == Material.GROUND:
                kinds = self.town.ground.kind_at(points[:, 0], points[:, 1])
                reflectance[chosen] = shade_ground(points[:, 0], points[:, 1], kinds, foot, self.noise)
            else:
                surface = self._surface(points, hit.face[chosen], part[chosen], foot)
                reflectance[chosen] = shade(surface, Material(kind), self.noise)
        return give_away(reflectance, self._seen_labels(hit)) if self.easy else reflectance

    def _surface(
        self, points: Points, face: Int[ndarray, " n"], part: Int[ndarray, " n"], footprint: ndarray
    ) -> Surface:
        local = points - self.mesh.origins[part].astype(np.float32)
        return Surface(
            points=points,
            u=(local * self._tangents[face]).sum(1),
            v=(local * self._slopes[face]).sum(1),
            part=part,
            color=self.mesh.colors[part].astype(np.float32),
            accent=self.mesh.accents[part].astype(np.float32),
            footprint=footprint,
            shade=self._shade(face),
        )

    def _shade(self, face: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
        """Factors on the colors of leaves; wind turns each of them anew for every view."""
        shade = self.mesh.shades[face].astype(np.float32)
        return shade * self._now.turned(face, self.wind, self.noise) if self.wind > 0 else shade


@dataclass(frozen=True)
class _Hit:
    """Where rays meet the town."""

    seen: Int[ndarray, " hits"]
    """Rays that hit something."""
    face: Int[ndarray, " hits"]
    points: Float[ndarray, "hits 3"]
    distance: Float[ndarray, " rays"]


def sky_color(directions: Points, sun: Float[ndarray, " 3"]) -> Float[ndarray, "n 3"]:
    """Display color of the sky: haze at and below the horizon, blue above, a wide glow towards the sun."""
    height = np.clip(directions[:, 2] * 2.2 + 0.55, 0, 1)[:, None]
    glow = np.clip(directions @ sun, 0, 1)[:, None] ** 4
    haze, zenith = np.float32([0.80, 0.85, 0.89]), np.float32([0.42, 0.60, 0.84])
    return haze + (zenith - haze) * height + 0.08 * glow * np.float32([1.0, 0.9, 0.7])


def _tone(light: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Display color of linear light."""
    return np.power(np.maximum(light, 0), np.float32(1 / GAMMA))


def _directions(
    pose: ndarray, camera: ndarray, distortion: float, columns: ndarray, rows: ndarray
) -> Float[ndarray, "rows columns 3"]:
    """Unit directions in the world through image places given in pixels."""
    u, v = np.meshgrid((columns - camera[0, 2]) / camera[0, 0], (rows - camera[1, 2]) / camera[1, 1])
    stretch = 1 + distortion * (u**2 + v**2)
    u, v = u * stretch, v * stretch
    local = np.stack([u, v, np.ones_like(u)], axis=-1) @ pose[:3, :3].T
    return (local / np.linalg.norm(local, axis=-1, keepdims=True)).astype(np.float32)


def _frames(normals: Points, yaws: Float[ndarray, " n"]) -> tuple[Points, Points]:
    """Per face, the level direction along it and the direction up its slope; flat faces use their part's yaw."""
    level = np.hypot(normals[:, 0], normals[:, 1]) < 0.05
    along = np.stack([-normals[:, 1], normals[:, 0], np.zeros(len(normals))], -1)
    along[level] = np.stack([np.cos(yaws), np.sin(yaws), np.zeros_like(yaws)], -1)[level]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return along.astype(np.float32), np.cross(normals, along).astype(np.float32)
