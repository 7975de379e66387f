"""Procedural surface colors as functions of the place in the world, never of the view.

Every pattern is a sum of noises with a known feature size. A feature smaller than the footprint of a ray on the
surface fades out (as a mip map would do), so that small images see a clean texture instead of moire, and large images
see more detail of the same surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from nerfseg_ns.town.classes import Ground, Material
from nerfseg_ns.town.meshes import linear

SIZE = 512
TEXELS_PER_FEATURE = 4.0

Values = Float[ndarray, " n"]


class Noise:
    """A tileable noise image with features of four texels, looked up at any scale; mean 0, deviation 1."""

    def __init__(self, rng: np.random.Generator) -> None:
        field = rng.standard_normal((SIZE, SIZE))
        for axis in (0, 1):
            # binomial kernel 1 4 6 4 1
            field = sum(w * np.roll(field, s, axis) for w, s in ((1, -2), (4, -1), (6, 0), (4, 1), (1, 2)))
        self.field = ((field - field.mean()) / field.std()).astype(np.float32).ravel()
        self.white = rng.random(SIZE * SIZE).astype(np.float32)

    def __call__(self, u: Values, v: Values, feature: float, footprint: Values) -> Values:
        """Bilinear noise with features of `feature` metres, faded where the footprint is larger."""
        x = u * np.float32(TEXELS_PER_FEATURE / feature) + np.float32(4096)
        y = v * np.float32(TEXELS_PER_FEATURE / feature) + np.float32(4096)
        i, j = y.astype(np.int32), x.astype(np.int32)
        t, s = y - i, x - j
        i0, i1 = (i % SIZE) * SIZE, ((i + 1) % SIZE) * SIZE
        j0, j1 = j % SIZE, (j + 1) % SIZE
        top = self.field[i0 + j0] * (1 - s) + self.field[i0 + j1] * s
        bottom = self.field[i1 + j0] * (1 - s) + self.field[i1 + j1] * s
        return (top + (bottom - top) * t) * fade(feature, footprint)

    def cell(self, i: Int[ndarray, " n"], j: Int[ndarray, " n"]) -> Values:
        """A random number in [0, 1) for every cell of a lattice."""
        return self.white[(i * 7919 + j * 104729) % (SIZE * SIZE)]


def fade(feature: float, footprint: Values) -> Values:
    """1 where a feature is well resolved, 0 where it is below the footprint."""
    return np.clip(feature / footprint - 0.6, 0, 1)


def band(distance: Values, half_width: float, footprint: Values) -> Values:
    """Coverage (0 to 1) of a band of the given half width, box-filtered over the footprint."""
    return np.clip((half_width - np.abs(distance)) / footprint + 0.5, 0, 1)


@dataclass
class Surface:
    """Points to be colored, all of one material."""

    points: Float[ndarray, "n 3"]
    u: Values
    """Along the surface, level; metres from the part's origin."""
    v: Values
    """Along the surface, up the slope; metres from the part's origin."""
    part: Int[ndarray, " n"]
    """Which part, for choices that differ between parts."""
    color: Float[ndarray, "n 3"]
    accent: Float[ndarray, "n 3"]
    footprint: Values
    """Size of a ray's footprint in metres."""
    shade: Values
    """Factor on the color, of leaves."""

    @property
    def shift(self) -> Values:
        """An offset in metres that differs from part to part, small enough for single precision."""
        return (self.part * np.float32(13.7) % np.float32(211.0)).astype(np.float32)


def shade(surface: Surface, material: Material, noise: Noise) -> Float[ndarray, "n 3"]:
    """Linear reflectance of a surface of one material (not `GROUND`)."""
    return _MATERIALS[material](surface, noise).clip(0.004, 0.95)


def _scaled(color: Float[ndarray, "n 3"], factor: Values) -> Float[ndarray, "n 3"]:
    return color * np.clip(factor, 0.15, 2.2)[:, None]


def _mix(a: Float[ndarray, "n 3"], b: Float[ndarray, "n 3"], share: Values) -> Float[ndarray, "n 3"]:
    return a + (b - a) * share[:, None]


def _facade(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Plaster or brick with storeys of 3 m, windows every 3 m, doors at the bottom."""
    foot = s.footprint
    shift = s.shift
    wear = 1 + 0.10 * noise(s.u + shift, s.v, 1.2, foot) + 0.12 * noise(s.u + shift + 31, s.v * 0.6, 3.5, foot)
    wall = _scaled(s.color, wear - 0.22 * band(s.v, 0.5, foot))
    bay, storey = np.floor(s.u / 3.0), np.floor(s.v / 3.0)
    i, j = (bay + 17 * s.part).astype(np.int64), storey.astype(np.int64)
    across, up = s.u - 3.0 * bay - 1.5, s.v - 3.0 * storey - 1.6
    chance = noise.cell(i, j)
    window = band(across, 0.85, foot) * band(up, 0.8, foot) * (chance > 0.12)
    door = band(across, 0.7, foot) * band(s.v - 1.1, 1.15, foot) * (noise.cell(i, j + 9) < 0.25)
    ground_floor = s.v < 3.0
    opening = np.where(ground_floor & (door > 0), door, window)
    glass = _scaled(s.accent, 0.5 + 1.6 * noise.cell(i + 5, j))
    sill = band(across, 1.0, foot) * band(up + 1.0, 0.22, foot) * (chance > 0.12)
    return _mix(_mix(wall, wall * 1.35, sill), glass, opening)


def _tiles(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Roof tiles: courses, single odd tiles, moss and stains, a roof window here and there."""
    foot = s.footprint
    shift = s.shift
    tint = 0.16 * noise(s.u + shift, s.v, 1.1, foot) + 0.13 * noise(s.u * 0.5 + shift, s.v, 2.4, foot)
    course = 0.12 * np.sin(s.v * (2 * np.pi / 1.0)) * fade(1.0, foot * 1.4)
    i, j = np.floor(s.u / 1.4).astype(np.int64) + 31 * s.part, np.floor(s.v / 1.2).astype(np.int64)
    odd = 0.34 * (noise.cell(i, j) - 0.5) * fade(1.4, foot)
    base = _mix(s.color, s.accent, np.clip(0.5 * noise(s.u + shift, s.v + 3, 4.0, foot), 0, 0.8))
    base = _scaled(base, 1 + tint + course + odd)
    i, j = np.floor(s.u / 4.5).astype(np.int64) + 7 * s.part, np.floor(s.v / 20).astype(np.int64)
    pane = band(s.u - 4.5 * np.floor(s.u / 4.5) - 2.2, 0.6, foot) * band(np.abs(s.v) % 7.0 - 4.5, 0.7, foot)
    return _mix(base, linear(np.array([62, 74, 88])), pane * (noise.cell(i, j + 3) < 0.3))


def _flat_roof(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Bitumen or gravel in lanes, with puddle stains, patches and vents."""
    foot, shift = s.footprint, s.shift
    grain = 0.12 * noise(s.u + shift, s.v, 0.9, foot) + 0.15 * noise(s.u + shift, s.v, 2.2, foot)
    stain = np.clip(0.55 * noise(s.u, s.v + shift, 5.0, foot), -0.2, 0.9)
    i, j = np.floor(s.u / 2.6).astype(np.int64) + 5 * s.part, np.floor(s.v / 3.4).astype(np.int64)
    sheet = 0.26 * (noise.cell(i, j) - 0.5)
    seam = 0.25 * band(s.u - 2.6 * np.floor(s.u / 2.6) - 1.3, 0.1, foot)
    base = _scaled(_mix(s.color, s.accent, stain), 1 + grain + sheet - seam)
    du, dv = s.u - 5 * np.floor(s.u / 5) - 2.5, s.v - 5 * np.floor(s.v / 5) - 2.5
    cell = noise.cell(np.floor(s.u / 5).astype(np.int64) + s.part, np.floor(s.v / 5).astype(np.int64))
    vent = band(np.hypot(du, dv), 0.7, foot) * (cell < 0.45)
    return _mix(base, base * np.where(cell < 0.2, 0.35, 1.7)[:, None], vent)


def _green_roof(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """A planted roof: grass like that of the gardens."""
    return _grass(s.u + s.shift, s.v, s.color, s.accent, s.footprint, noise)


def _leaves(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Foliage: clumps of light and dark at several scales, the same from all sides."""
    x, y, z = s.points.T
    foot, a, b = s.footprint, x + 0.73 * z, y - 0.61 * z
    clumps = 0.22 * noise(a, b, 0.8, foot) + 0.24 * noise(a + 9, b, 1.7, foot) + 0.14 * noise(a, b + 5, 3.6, foot)
    share = np.clip(0.3 + 0.4 * noise(a + 3, b + 8, 2.6, foot), 0, 1)
    return _scaled(_mix(s.color, s.accent, share), 0.95 + clumps)


def _leaf(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """A cluster of leaves of one brightness; which of the crown's two colors it has changes within metres."""
    x, y, z = s.points.T
    share = np.clip(0.3 + 0.4 * noise(x + 0.73 * z + 3, y - 0.61 * z + 8, 2.6, s.footprint), 0, 1)
    return _scaled(_mix(s.color, s.accent, share), s.shade)


def _paint(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Painted metal or wood, nearly plain."""
    return _scaled(s.color, 1 + 0.07 * noise(s.u + s.shift, s.v, 1.0, s.footprint))


def _masonry(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Stones of half a metre and larger stains."""
    foot, shift = s.footprint, s.shift
    row = np.floor(s.v / 0.6)
    i, j = np.floor(s.u / 1.1 + 0.5 * (row % 2)).astype(np.int64) + 3 * s.part, row.astype(np.int64)
    stone = 0.35 * (noise.cell(i, j) - 0.5) * fade(0.9, foot)
    stain = 0.16 * noise(s.u + shift, s.v, 1.6, foot) + 0.10 * noise(s.u + shift, s.v, 4.0, foot)
    return _scaled(s.color, 1 + stone + stain)


def _corrugated(s: Surface, noise: Noise) -> Float[ndarray, "n 3"]:
    """Corrugated sheet with rust and odd panels."""
    foot, shift = s.footprint, s.shift
    rib = 0.16 * np.sin(s.u * (2 * np.pi / 1.1)) * fade(1.1, foot * 1.3)
    i, j = np.floor(s.u / 2.0).astype(np.int64) + s.part, np.floor(s.v / 2.5).astype(np.int64)
    panel = 0.3 * (noise.cell(i, j) - 0.5)
    rust = np.clip(0.4 * noise(s.u + shift, s.v, 2.0, foot) - 0.1, 0, 0.7)
    return _scaled(_mix(s.color, s.accent, rust), 1 + rib + panel + 0.08 * noise(s.u + shift, s.v, 1.0, foot))


_MATERIALS = {
    Material.FACADE: _facade,
    Material.TILES: _tiles,
    Material.FLAT_ROOF: _flat_roof,
    Material.GREEN_ROOF: _green_roof,
    Material.LEAVES: _leaves,
    Material.LEAF: _leaf,
    Material.PAINT: _paint,
    Material.MASONRY: _masonry,
    Material.CORRUGATED: _corrugated,
}


# The ground ---------------------------------------------------------------------------------------------------------

_GROUND_COLORS = {
    Ground.GRASS: ((98, 122, 62), (134, 132, 82)),
    Ground.MEADOW: ((136, 140, 78), (112, 104, 66)),
    Ground.FIELD_X: ((146, 118, 82), (112, 124, 64)),
    Ground.FIELD_Y: ((166, 148, 92), (120, 100, 68)),
    Ground.SOIL: ((142, 110, 82), (120, 100, 82)),
    Ground.SAND: ((176, 160, 128), (138, 128, 104)),
    Ground.ASPHALT: ((106, 106, 108), (92, 90, 90)),
    Ground.ASPHALT_DARK: ((82, 83, 87), (98, 96, 94)),
    Ground.ASPHALT_LIGHT: ((130, 128, 124), (108, 106, 104)),
    Ground.LINE: ((226, 224, 214), (150, 148, 142)),
    Ground.PAVING: ((168, 162, 151), (140, 136, 129)),
    Ground.PAVING_RED: ((152, 116, 98), (136, 112, 100)),
    Ground.WATER: ((56, 84, 98), (74, 98, 88)),
}


def shade_ground(
    x: Values, y: Values, kinds: Int[ndarray, " n"], footprint: Values, noise: Noise
) -> Float[ndarray, "n 3"]:
    """Linear reflectance of the ground at places of the map."""
    reflectance = np.empty((len(x), 3), dtype=np.float32)
    for kind in np.unique(kinds):
        chosen = np.flatnonzero(kinds == kind)
        color, accent = (np.float32(linear(np.array(c))[None]) for c in _GROUND_COLORS[Ground(kind)])
        reflectance[chosen] = _GROUNDS[Ground(kind)](x[chosen], y[chosen], color, accent, footprint[chosen], noise)
    return reflectance.clip(0.004, 0.95)


def _grass(u: Values, v: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> Float[ndarray, "n 3"]:
    share = np.clip(0.25 + 0.3 * noise(u, v, 2.5, foot) + 0.3 * noise(u + 40, v, 9.0, foot), 0, 1)
    tufts = 0.16 * noise(u + 3, v, 0.8, foot) + 0.18 * noise(u, v + 5, 1.8, foot) + 0.1 * noise(u + 8, v, 5.0, foot)
    return _scaled(_mix(color, accent, share), 1 + tufts)


def _field(along: Values, across: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> ndarray:
    rows = np.sin(across * (2 * np.pi / 3.6) + 0.6 * noise(along, across, 12.0, foot))
    share = np.clip(0.5 + 0.42 * rows * fade(3.6, foot * 1.3) + 0.2 * noise(along, across, 5.0, foot), 0, 1)
    clods = 0.15 * noise(along, across, 1.6, foot) + 0.1 * noise(along, across, 7.0, foot)
    return _scaled(_mix(color, accent, share), 1 + clods)


def _asphalt(u: Values, v: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> ndarray:
    share = np.clip(0.4 + 0.45 * noise(u, v, 6.0, foot), 0, 1)
    grain = 0.11 * noise(u, v + 20, 1.0, foot) + 0.14 * noise(u + 11, v, 2.3, foot)
    crack = np.exp(-((noise(u + 70, v, 5.0, foot) / 0.16) ** 2)) * np.clip(noise(u, v + 90, 9.0, foot), 0, 1)
    return _scaled(_mix(color, accent, share), 1 + grain - 0.32 * crack)


def _line(u: Values, v: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> ndarray:
    worn = np.clip(0.5 * noise(u, v, 1.3, foot) - 0.15, 0, 0.9)
    return _scaled(_mix(color, accent, worn), 1 + 0.06 * noise(u, v, 3.0, foot))


def _paving(u: Values, v: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> ndarray:
    i, j = np.floor(u / 1.6).astype(np.int64), np.floor(v / 1.6).astype(np.int64)
    slab = 0.32 * (noise.cell(i + 400, j + 400) - 0.5)
    stain = 0.13 * noise(u, v, 1.5, foot) + 0.13 * noise(u + 6, v, 4.0, foot)
    share = np.clip(0.3 + 0.45 * noise(u, v + 60, 7.0, foot), 0, 1)
    return _scaled(_mix(color, accent, share), 1 + slab + stain)


def _soil(u: Values, v: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> ndarray:
    share = np.clip(0.5 + 0.5 * noise(u, v, 4.0, foot), 0, 1)
    clods = 0.15 * noise(u, v, 0.9, foot) + 0.18 * noise(u + 4, v, 2.0, foot) + 0.1 * noise(u, v + 9, 8.0, foot)
    return _scaled(_mix(color, accent, share), 1 + clods)


def _water(u: Values, v: Values, color: ndarray, accent: ndarray, foot: Values, noise: Noise) -> ndarray:
    share = np.clip(0.4 + 0.4 * noise(u, v, 11.0, foot), 0, 1)
    ripples = 0.10 * noise(u, v * 1.6, 1.8, foot) + 0.12 * noise(u + 4, v, 4.0, foot)
    return _scaled(_mix(color, accent, share), 1 + ripples)


_GROUNDS = {
    Ground.GRASS: _grass,
    Ground.MEADOW: _grass,
    Ground.FIELD_X: _field,
    Ground.FIELD_Y: lambda u, v, *rest: _field(v, u, *rest),
    Ground.SOIL: _soil,
    Ground.SAND: _soil,
    Ground.ASPHALT: _asphalt,
    Ground.ASPHALT_DARK: _asphalt,
    Ground.ASPHALT_LIGHT: _asphalt,
    Ground.LINE: _line,
    Ground.PAVING: _paving,
    Ground.PAVING_RED: _paving,
    Ground.WATER: _water,
}
