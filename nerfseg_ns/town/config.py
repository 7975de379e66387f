"""Options of the built-in town. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class FaultsConfig:
    """What photos of real flights have and rendered ones have not; counts with `--real` only."""

    leaf_size: float = 0.5
    """Width of a leaf cluster in metres: crowns are made of such, at many depths. 0: smooth crowns."""
    wind: float = 1.0
    """How much wind turns leaves from photo to photo, which makes them brighter or darker. 0: they keep still."""
    groves: int = 60
    """Groves with closed canopies, planted where there is room; the town's own trees are larger too. 0: as they are."""
    exposure: float = 1.0
    """Stops between the darkest and the brightest photo; white balance varies by a quarter of it. 0: all the same."""
    pose_error: float = 0.5
    """Error of the written poses, in pixels of the photo: median of how far it moves what is seen. 0: true poses."""
    lens_error: float = 0.3
    """Distortion that the written camera does not know, in pixels at the image's corners. 0: none."""
    sun_width: float = 0.53
    """Diameter of the sun in degrees, with a haze around it that shines too. 0: hard shadows."""
    blur: float = 0.65
    """Gaussian blur of the photos in pixels, on average; some have motion blur as well. 0: none."""
    noise: float = 1.5
    """Noise of the photos in grey levels, on average. 0: none."""


@dataclass
class TownConfig:
    """A procedural aerial town with exact labels; the same options give the same bytes."""

    seed: int = 0
    """Which town: another seed lays out other streets, buildings, trees, colors and flight paths."""
    image_size: int = 128
    """Width and height of every image in pixels. The town of a seed is the same at every size."""
    train_views: int = 40
    """Number of training photos. Fewer than about 20 leave parts of the town seen only once."""
    validation_views: int = 4
    """Number of validation views, between the training views."""
    test_views: int = 12
    """Number of test views, between the training views and the validation views."""
    labelled_views: int = 4
    """How many training views come with a label map, spread evenly over the flight."""
    views: Literal["orbit", "nadir", "mixed"] = "orbit"
    """Flight: oblique orbits around the town, strips looking straight down, or half of the views each."""
    field_of_view: float = 60.0
    """Opening angle of the camera in degrees, across the image's width (and height)."""
    supersampling: int = 2
    """Rays per pixel and axis for the colors (2: four rays per pixel); labels and depth use the pixel's centre."""
    easy: bool = False
    """Give every class a color of its own, so that a classifier of single photos can tell them. Without it classes
    share colors: a green roof looks like a lawn."""
    real: bool = False
    """Photos with the faults of real flights: crowns of leaves that matching does not find again, exposures that
    differ, soft shadows, blur, noise, poses that are half a pixel wrong. Labels and depth stay exact."""
    faults: FaultsConfig = field(default_factory=FaultsConfig)
    """How much of each, with `--real`."""
    layout: Literal["carla-mvs", "earth-studio"] = "carla-mvs"
    """Form of the scene on disk: posed trees of the paper's Carla-MVS data (poses scaled, PNGs), or what Google Earth
    Studio renders and exports (JPEGs and 3D tracking data, at a real place), for the google-earth-data dataparser."""
    latitude: float = 47.3769
    """Degrees north of the town's centre, for layout earth-studio."""
    longitude: float = 8.5417
    """Degrees east of the town's centre, for layout earth-studio."""
    altitude: float = 408.0
    """Altitude of the town's ground in metres, for layout earth-studio."""
