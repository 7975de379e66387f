"""What a camera's exposure and white balance made of the scene's colors in one photo, and how it is found."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

MOST_GAIN, MOST_OFFSET = 2.0, 0.2
"""How far colors are corrected at the most: a factor either way, and what is added."""
ROUNDS = 8
SCALE = 0.05
"""Difference of colors, from 0 to 1, beyond which pixels count less: they show something else than the scene did."""
UNLIKE, ALIKE = 0.25, 0.5
"""Squared correlation of scene and photo up to which it says nothing of the gain, and from which on it says all."""
PLAIN = 1e-4
"""Variance of colors that a view must exceed by far to say anything of the gain."""
PIXELS = 20_000
"""Of a photo, so many tell its exposure."""


class Exposure(NamedTuple):
    """A gain and an offset of each channel: from the scene's colors to the photo's, both 0 to 1."""

    gains: Float[Tensor, "3"]
    offsets: Float[Tensor, "3"]

    def shown(self, scene: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Colors of the scene as the photo shows them."""
        return (scene * self.gains.to(scene) + self.offsets.to(scene)).clamp(0.0, 1.0)

    def neutral(self, photo: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Colors of the photo as the scene has them."""
        return ((photo - self.offsets.to(photo)) / self.gains.to(photo)).clamp(0.0, 1.0)


@torch.no_grad()
def find_exposure(scene: Float[Tensor, "*batch 3"], photo: Float[Tensor, "*batch 3"]) -> Exposure:
    """The exposure of a photo, from what a learnt scene looks like without one.

    A regression of the photo on the scene, channel by channel, in which pixels that fit badly count less (iteratively
    reweighted, as for the L1 norm). Which way round it goes matters: a rendered view is smoother than its photo, and
    the scene on the photo would give gains that are too small. A scene that looks little like the photo, as where its
    geometry is rough, says nothing of gains: then only the offset is found.

    Args:
        scene: rendered colors.
        photo: colors of the same pixels.
    """
    scene, photo = scene.reshape(-1, 3).double(), photo.reshape(-1, 3).to(scene.device).double()
    step = -(-len(scene) // PIXELS)
    scene, photo = scene[::step], photo[::step]
    weights = torch.ones_like(scene)
    for _ in range(ROUNDS):
        total = weights.sum(dim=0)
        middles = (weights * scene).sum(dim=0) / total, (weights * photo).sum(dim=0) / total
        apart = scene - middles[0], photo - middles[1]
        both = (weights * apart[0] * apart[1]).sum(dim=0) / total
        own, other = ((weights * values**2).sum(dim=0) / total + PLAIN for values in apart)
        trust = ((both**2 / (own * other) - UNLIKE) / (ALIKE - UNLIKE)).clamp(0, 1)
        gains = torch.lerp(torch.ones_like(own), (both + PLAIN) / own, trust).clamp(1 / MOST_GAIN, MOST_GAIN)
        offsets = (middles[1] - gains * middles[0]).clamp(-MOST_OFFSET, MOST_OFFSET)
        weights = 1 / ((photo - gains * scene - offsets).abs() + SCALE)
    return Exposure(gains.float(), offsets.float())
