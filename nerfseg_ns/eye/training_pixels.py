"""Labelled pixels of the copies of photos, with their features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.eye.copies import SeenCopy
from nerfseg_ns.labels.classes import IGNORE_INDEX

LEAST_DEVIATION = 1e-3
"""Of a feature, so that one that never changes stays finite."""


@dataclass
class SeenPixels:
    """Labelled pixels."""

    features: Float[Tensor, "pixels channels"]
    labels: Int[Tensor, "pixels"]
    """Class indices."""
    folds: Int[Tensor, "pixels"]
    """Part of the labelled area that each lies in."""

    @classmethod
    def of(cls, copy: SeenCopy, most: int, generator: torch.Generator) -> SeenPixels:
        """At most so many random pixels of each class of a copy."""
        rows, columns = choose_pixels(copy.labels, most, generator).T
        features = copy.pyramid.at(rows.float(), columns.float())
        return cls(features, copy.labels[rows, columns].long(), copy.folds[rows, columns].long())

    @property
    def scale(self) -> Tuple[Float[Tensor, "channels"], Float[Tensor, "channels"]]:
        """Mean and deviation of the features."""
        return self.features.mean(dim=0), self.features.std(dim=0, correction=0) + LEAST_DEVIATION

    @classmethod
    def join(cls, parts: Sequence[SeenPixels]) -> SeenPixels:
        """All of them as one."""
        columns = zip(*((part.features, part.labels, part.folds) for part in parts))
        return cls(*(torch.cat(column) for column in columns))


def choose_pixels(
    labels: Int[Tensor, "height width"], most: int, generator: torch.Generator
) -> Int[Tensor, "pixels 2"]:
    """At most so many random pixels of each class, as rows and columns."""
    chosen: List[Tensor] = []
    for index in labels.unique().tolist():
        if index != IGNORE_INDEX:
            places = (labels == index).nonzero()
            order = torch.randperm(len(places), generator=generator)[:most]
            chosen.append(places[order.to(places.device)])
    return torch.cat(chosen) if chosen else torch.empty(0, 2, dtype=torch.long, device=labels.device)
