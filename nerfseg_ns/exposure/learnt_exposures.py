"""The exposures of the photos that stage 1 learns from, learnt with the scene."""

from __future__ import annotations

from typing import Dict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PENALTY = 3e-3
"""Weight of the square of gains' logarithms and of offsets: what neighbouring photos do not tell stays as it is."""


class LearntExposures(nn.Module):
    """A gain and an offset of each channel for every training photo, neutral in the mean of all.

    They are there so that the scene need not explain with fog what the camera did. Once it is learnt, the exposure of a
    photo is found by `find_exposure`, of photos that were not trained on too.

    Args:
        num_photos: training photos.
    """

    def __init__(self, num_photos: int) -> None:
        super().__init__()
        self.log_gains = nn.Parameter(torch.zeros(num_photos, 3))
        self.offsets = nn.Parameter(torch.zeros(num_photos, 3))

    def shown(self, scene: Float[Tensor, "rays 3"], photos: Int[Tensor, "rays"]) -> Float[Tensor, "rays 3"]:
        """Colors of the scene as photos show them.

        Args:
            scene: colors, 0 to 1.
            photos: which photo each of them is in.
        """
        gains = (self.log_gains - self.log_gains.mean(dim=0))[photos].exp()
        return scene * gains + (self.offsets - self.offsets.mean(dim=0))[photos]

    def get_loss(self) -> Float[Tensor, ""]:
        """Keeps the photos together."""
        return PENALTY * (self.log_gains.square().mean() + self.offsets.square().mean())

    def _load_from_state_dict(self, state_dict: Dict[str, Tensor], prefix: str, *args) -> None:
        """A run may be looked at with other photos than it was trained on."""
        for name, parameter in self.named_parameters():
            if (kept := state_dict.get(prefix + name)) is not None and kept.shape != parameter.shape:
                parameter.data = parameter.data.new_zeros(kept.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
