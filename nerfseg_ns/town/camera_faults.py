"""What cameras do to photos: exposure and white balance that differ, blur, motion, noise.

A photo is developed as in a camera: the lens blurs the light, exposure and white balance are gains on linear light,
what is too bright is cut off, then come the tone curve and the noise.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy import ndimage

from nerfseg_ns.town.cameras import SPLITS, lens_distortion
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.meshes import GAMMA

FAULTS = "truth/faults.json"
"""Of a scene: the faults of its photos."""
STREAM = 5
"""Of the seed's random numbers."""
WHITE_BALANCE = 0.25
"""How much red and blue vary against green, as a share of the exposures' spread."""
SHAKEN = 0.25
"""Share of the photos with motion blur."""
LONGEST = 3.5
"""Way that the image moves in a photo with motion blur, at the most, in units of the mean blur."""


@dataclass(frozen=True)
class PhotoFaults:
    """How one photo was taken."""

    gains: tuple[float, float, float]
    """Factors on linear red, green and blue."""
    blur: float
    """Standard deviation of the Gaussian blur, pixels."""
    motion: tuple[float, float]
    """Way of the image during the exposure, pixels to the right and down."""
    noise: float
    """Standard deviation of the noise, grey levels of 255."""


def draw_faults(config: TownConfig, split: str, index: int) -> PhotoFaults:
    """The faults of a photo, which follow from the town's options, its split and its place there."""
    rng, faults = np.random.default_rng([config.seed, STREAM, SPLITS.index(split), index]), config.faults
    stops = np.full(3, rng.uniform(-0.5, 0.5))
    stops[[0, 2]] += WHITE_BALANCE * rng.uniform(-0.5, 0.5, 2)
    gains = 2 ** (faults.exposure * stops)
    blur, angle = faults.blur * rng.uniform(0.75, 1.25), rng.uniform(0, 2 * np.pi)
    way = faults.blur * rng.uniform(1.5, LONGEST) * (rng.random() < SHAKEN)
    noise = faults.noise * rng.uniform(2 / 3, 4 / 3)
    rounded = [round(float(value), 6) for value in (*gains, blur, way * np.cos(angle), way * np.sin(angle), noise)]
    return PhotoFaults(tuple(rounded[:3]), rounded[3], tuple(rounded[4:6]), rounded[6])


def take_photo(
    color: Float[ndarray, "height width 3"], config: TownConfig, split: str, index: int
) -> UInt8[ndarray, "height width 3"]:
    """The photo that a flight's camera makes of a view: `develop` with the faults and the noise of its place."""
    rng = np.random.default_rng([config.seed, STREAM, SPLITS.index(split), index, 1])
    return develop(color, draw_faults(config, split, index), rng)


def write_faults(path: Path, config: TownConfig, stems: dict[str, list[str]]) -> None:
    """Writes the faults of all photos by split and name, and the lens's distortion, as JSON."""
    photos = {
        split: {stem: asdict(draw_faults(config, split, index)) for index, stem in enumerate(names)}
        for split, names in stems.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"lens_distortion": lens_distortion(config), "photos": photos}, indent=1) + "\n")


def develop(
    color: Float[ndarray, "height width 3"], faults: PhotoFaults, rng: np.random.Generator
) -> UInt8[ndarray, "height width 3"]:
    """The photo that a camera makes of a view.

    Args:
        color: display colors without faults, 0 to 1.
        faults: of the photo.
        rng: draws the noise.
    """
    light = _move(color.clip(0, 1).astype(np.float64) ** GAMMA, faults.motion)
    light = ndimage.gaussian_filter(light, (faults.blur, faults.blur, 0), mode="nearest")
    exposed = (light * faults.gains).clip(0, 1) ** (1 / GAMMA)
    noisy = 255 * exposed + faults.noise * rng.standard_normal(color.shape)
    return np.round(noisy.clip(0, 255)).astype(np.uint8)


def _move(light: Float[ndarray, "height width 3"], way: tuple[float, float]) -> Float[ndarray, "height width 3"]:
    """Mean of the image along a way, about its middle."""
    steps = 2 * int(np.ceil(np.hypot(*way))) + 1
    if steps == 1:
        return light
    places = np.linspace(-0.5, 0.5, steps)
    shifted = [ndimage.shift(light, (place * way[1], place * way[0], 0), order=1, mode="nearest") for place in places]
    return np.mean(shifted, axis=0)
