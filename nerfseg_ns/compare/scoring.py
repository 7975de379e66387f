"""The scores of the comparison: one confusion matrix over all pixels, and whether the confidence means something."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from nerfseg_ns.evaluation.confusion import segmentation_scores
from nerfseg_ns.evaluation.prediction import Prediction
from nerfseg_ns.labels.classes import IGNORE_INDEX

BINS = 1000
"""Of the confidence: fine enough that the most confident 80 % of the pixels are found to a thousandth."""
CALIBRATION_BINS = 15
"""Bins of equal width of the expected calibration error (Guo et al. 2017)."""
CONFIDENT_SHARE = 0.8


class ComparedScores:
    """Gathers a method's views in one confusion matrix for each bin of confidence, which all scores are made of.

    Args:
        names: of the classes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._counts: Int[ndarray, "bins classes classes"] = np.zeros((BINS, len(names), len(names)), np.int64)
        self._confidence: Float[ndarray, " bins"] = np.zeros(BINS)

    def add(self, prediction: Prediction, truth: UInt8[ndarray, "height width"]) -> None:
        """Counts the labelled pixels of a view."""
        known = truth != IGNORE_INDEX
        confidence = prediction.confidence[known].astype(np.float64)
        bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
        places = (bins, truth[known].astype(np.int64), prediction.labels[known].astype(np.int64))
        np.add.at(self._counts, places, 1)
        np.add.at(self._confidence, bins, confidence)

    def summary(self) -> Dict[str, Any]:
        """`miou`, `miou_union`, `total_accuracy`, `average_accuracy`, `iou/NAME` (see `segmentation_scores`),
        `calibration_error`, `confident_miou` and `confident_accuracy` (of the most confident 80 % of the pixels), and
        the `confusion` matrix itself, a row for each true class."""
        matrix = torch.from_numpy(self._counts.sum(axis=0))
        confident = segmentation_scores(torch.from_numpy(self._most_confident()), self.names)
        return {
            **segmentation_scores(matrix, self.names),
            "calibration_error": self._calibration_error(),
            "confident_miou": confident["miou"],
            "confident_accuracy": confident["total_accuracy"],
            "confusion": matrix.tolist(),
        }

    def _most_confident(self) -> Int[ndarray, "classes classes"]:
        """The matrix of as many whole bins from the top as make up 80 % of the pixels, or just more."""
        pixels = self._counts.sum(axis=(1, 2))[::-1].cumsum()
        bins = int(np.searchsorted(pixels, CONFIDENT_SHARE * pixels[-1])) + 1
        return self._counts[::-1][:bins].sum(axis=0)

    def _calibration_error(self) -> float:
        """Expected calibration error: |accuracy - confidence|, averaged over bins by their pixels."""
        edges = np.linspace(0, BINS, CALIBRATION_BINS + 1).round().astype(int)[:-1]
        pixels = np.add.reduceat(self._counts.sum(axis=(1, 2)), edges)
        right = np.add.reduceat(self._counts.diagonal(axis1=1, axis2=2).sum(axis=1), edges)
        confidence = np.add.reduceat(self._confidence, edges)
        return float(np.abs(right - confidence).sum() / max(1, pixels.sum()))
