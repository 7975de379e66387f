"""What the height above the ground says of a pixel's class: roofs and crowns stand high, lawns and roads lie low.

Neither colors nor the place in the scene tell a white drive from a white roof where no label shows a white drive. How
often each class has which height is learnt from the labelled pixels, in the scene as it was learnt: where trees came
out flat, a tree's height says nothing, and what says nothing elsewhere in the labels is not asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Dict, Tuple, Type

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from nerfseg_ns.errors import UserError
from nerfseg_ns.geometry.ground import Ground
from nerfseg_ns.geometry.scene_frame import SceneFrame

BINS = 64
FINEST = 0.02
"""Height, in flight heights, below which bins are alike in width; above, they widen with it."""
LOWEST, HIGHEST = -0.05, 0.35
"""Heights, in flight heights, of the first and the last bin."""
BLUR = 8
"""Bins that counts are blurred over: a hundredth of the flight height near the ground. What lies flat differs by less
from place to place, as slopes do: such differences must tell nothing."""
OUTLIERS = 0.02
"""Share of each class that may have any height."""
TILE = 0.5
"""Side of the squares, in flight heights, that take turns in trying what the others tell."""


@dataclass
class HeightOpinionConfig(InstantiateConfig):
    """The height above the ground, as an opinion on the class."""

    _target: Type = field(default_factory=lambda: HeightOpinion)
    weight: float = 0.0
    """How much it counts beside what the field says, which counts 1, where it is trusted. 0 leaves it out, as in the
    paper."""
    window: float = 0.5
    """What is narrower than this stands on the ground, what is wider is ground; in flight heights: half of 100 m is as
    wide as a large building. Smaller follows hilly ground more closely."""
    rays: int = 60_000
    """Pixels of unlabelled photos that the ground is fitted to. Where the eye teaches, its own pixels serve instead."""
    least_gain: float = 0.15
    """Gain on held-out labels, in nats a pixel with all classes counting alike, below which heights are not used."""
    full_gain: float = 0.4
    """The gain from which on they are trusted fully; between the two, in part."""


class HeightOpinion(nn.Module):
    """Class probabilities of surface points from their height above the ground.

    Args:
        config: how much it counts.
        num_classes: number of classes.

    Attributes:
        gain: what it told of labels elsewhere, nats a pixel.
        in_flight_heights: a height of the frame's grid coordinates, in flight heights.
        is_learnt: whether `learn` has been called, in this run or the one that it was loaded from.

    Raises:
        UserError: an option makes no sense.
    """

    def __init__(self, config: HeightOpinionConfig, num_classes: int) -> None:
        super().__init__()
        if config.weight < 0 or config.window <= 0 or config.rays < 1 or config.least_gain > config.full_gain:
            raise UserError(
                "pipeline.model.height: weight is at least 0, window above 0, rays at least 1, least-gain at most "
                "full-gain."
            )
        self.config = config
        self.ground = Ground()
        self.register_buffer("in_flight_heights", torch.ones(()))
        self.register_buffer("probabilities", torch.full((BINS, num_classes), 1 / num_classes))
        self.register_buffer("gain", torch.zeros(()))
        self.register_buffer("is_learnt", torch.zeros((), dtype=torch.bool))

    def _load_from_state_dict(self, state_dict: Dict[str, Tensor], prefix: str, *args) -> None:
        """Runs from before there were heights have learnt nothing of them."""
        for name, values in self.state_dict().items():
            state_dict.setdefault(f"{prefix}{name}", values)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def trust(self) -> float:
        """How far it is trusted, 0 to 1, by what it told of labels elsewhere; 0 before it has learnt."""
        if not self.is_learnt:
            return 0.0
        least, full = self.config.least_gain, self.config.full_gain
        return min(1.0, max(0.0, (float(self.gain) - least) / max(1e-6, full - least)))

    @property
    def weight(self) -> float:
        """How much it counts, as far as it is trusted."""
        return self.config.weight * self.trust

    @torch.no_grad()
    def learn(
        self,
        frame: SceneFrame,
        cameras: Float[Tensor, "cameras 3"],
        surface: Float[Tensor, "points 3"],
        labelled: Float[Tensor, "pixels 3"],
        labels: Int[Tensor, "pixels"],
    ) -> None:
        """Finds the ground, and how often each class has which height.

        Args:
            frame: of the scene, whose grid coordinates all points are in.
            cameras: their centres, in the world.
            surface: points on the scene's surfaces.
            labelled: points that labelled pixels show.
            labels: class indices of these.
        """
        above = frame.to_box(cameras)[:, 2].median() - surface[:, 2].median()
        flight_height = max(float(above * frame.half_size[2]), float(frame.thickness) / 2)
        self.ground.fit(surface, frame.lengths_in_grid(flight_height * self.config.window / 2)[:2])
        self.in_flight_heights.copy_(frame.half_size[2] / flight_height)
        bins, classes = _bins(self.heights(labelled)), self.probabilities.shape[1]
        tiles = _chessboard(labelled, frame.lengths_in_grid(flight_height * TILE)[:2])
        self.gain.fill_(_gain(bins, labels, tiles, classes))
        self.probabilities.copy_(_learn(bins, labels, classes))
        self.is_learnt.fill_(True)

    def heights(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Above the ground, in flight heights, of points in the frame's grid coordinates."""
        return self.ground.height_above(points) * self.in_flight_heights

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points classes"]:
        """Logarithms of the classes' probabilities; classes count alike, however frequent they are."""
        return self.probabilities[_bins(self.heights(points))].log()


def _bins(heights: Float[Tensor, "points"]) -> Int[Tensor, "points"]:
    first, last = (math.asinh(height / FINEST) for height in (LOWEST, HIGHEST))
    return ((torch.asinh(heights / FINEST) - first) * (BINS / (last - first))).long().clamp(0, BINS - 1)


def _learn(bins: Int[Tensor, "pixels"], labels: Int[Tensor, "pixels"], classes: int) -> Float[Tensor, "bins classes"]:
    """Probabilities of the classes at each height. A class that no label shows has the mean of the others' heights."""
    counts = torch.bincount(bins * classes + labels, minlength=BINS * classes).view(BINS, classes).float()
    reach = math.ceil(3 * BLUR)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=bins.device) / BLUR) ** 2)
    padded = F.pad(counts.T[:, None], (reach, reach), mode="replicate")
    shares = F.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0].T
    shown = counts.sum(dim=0) > 0
    shares = shares / shares.sum(dim=0).clamp(min=1e-9) + OUTLIERS / BINS
    shares[:, ~shown] = shares[:, shown].mean(dim=1, keepdim=True)
    return shares / shares.sum(dim=1, keepdim=True)


def _gain(
    bins: Int[Tensor, "pixels"], labels: Int[Tensor, "pixels"], tiles: Int[Tensor, "pixels"], classes: int
) -> float:
    """Nats a pixel by which the classes of pixels are better known from their height, learnt in the other tiles."""
    gains = []
    for tile in (0, 1):
        own, other = tiles == tile, tiles != tile
        shown = torch.bincount(labels[own], minlength=classes) > 0
        known = other & shown[labels]
        if not own.any() or not known.any():
            return 0.0
        probabilities = _learn(bins[own], labels[own], classes) * shown  # among the classes that it can know
        told = (probabilities / probabilities.sum(dim=1, keepdim=True))[bins[known], labels[known]].log()
        counts = torch.bincount(labels[known], minlength=classes)
        sums = torch.zeros(classes, device=bins.device).index_add_(0, labels[known], told)
        tried = counts > 0
        gains.append(float((sums[tried] / counts[tried]).mean()) + math.log(int(shown.sum())))
    return sum(gains) / len(gains)


def _chessboard(points: Float[Tensor, "points 3"], sides: Tuple[float, float]) -> Int[Tensor, "points"]:
    """0 or 1: the color of the field that each point lies in, seen from above."""
    return (points[:, :2] / points.new_tensor(sides)).floor().long().sum(dim=-1) % 2
