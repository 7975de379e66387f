"""Scores of a segmentation, gathered view by view."""

from typing import Dict, Sequence

from jaxtyping import Int
from torch import Tensor

from nerfseg_ns.evaluation.confusion import confusion_matrix, segmentation_scores


class SegmentationScores:
    """Keeps one confusion matrix for each way of classifying and sums it up at the end.

    Args:
        names: of the classes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.matrices: Dict[str, Int[Tensor, "classes classes"]] = {}

    def add(self, prefix: str, predicted: Int[Tensor, "*pixels"], truth: Int[Tensor, "*pixels"]) -> None:
        """Counts the pixels of a view.

        Args:
            prefix: of the scores' names, one for each way of classifying.
            predicted: class indices.
            truth: class indices; ignored pixels are left out.
        """
        matrix = confusion_matrix(predicted, truth.to(predicted.device), len(self.names))
        self.matrices[prefix] = self.matrices.get(prefix, 0) + matrix

    def summary(self) -> Dict[str, float]:
        """The scores of all views so far; nothing where no pixel was labelled."""
        scores: Dict[str, float] = {}
        for prefix, matrix in self.matrices.items():
            scores.update({prefix + key: value for key, value in segmentation_scores(matrix, self.names).items()})
        return scores
