"""Labels of points in space from the labelled points nearest to them."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.spatial import cKDTree

NEIGHBOURS = 8
NEAR_NOTHING = 1e-9
"""Keeps the weight of a point that is met exactly finite, and above all others'."""


class NearestLabels:
    """Labelled points; each votes with the inverse of its distance.

    Args:
        points: where labels are known.
        labels: class indices of the points.
        num_classes: number of classes.
        neighbours: points that vote.
    """

    def __init__(
        self,
        points: Float[ndarray, "points 3"],
        labels: UInt8[ndarray, " points"],
        num_classes: int,
        neighbours: int = NEIGHBOURS,
    ) -> None:
        self.labels, self.num_classes = labels, num_classes
        self.neighbours = min(neighbours, len(points))
        self._tree = cKDTree(points)

    def at(self, points: Float[ndarray, "queries 3"]) -> Tuple[UInt8[ndarray, " queries"], Float[ndarray, " queries"]]:
        """The class with most votes at each point, and its share of the votes."""
        distances, found = self._tree.query(points, k=np.arange(1, self.neighbours + 1))
        weights = 1.0 / (distances + NEAR_NOTHING)
        votes = np.zeros((len(points), self.num_classes))
        np.add.at(votes, (np.arange(len(points))[:, None], self.labels[found]), weights)
        labels = votes.argmax(axis=1)
        shares = votes[np.arange(len(points)), labels] / votes.sum(axis=1)
        return labels.astype(np.uint8), shares.astype(np.float32)
