"""Segmentation scores from one confusion matrix over all pixels of all views."""

from typing import Dict, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nerfseg_ns.labels.classes import IGNORE_INDEX


def confusion_matrix(
    predicted: Int[Tensor, "*pixels"], truth: Int[Tensor, "*pixels"], num_classes: int
) -> Int[Tensor, "classes classes"]:
    """Pixel counts, a row for each true and a column for each predicted class; ignored pixels are left out."""
    # Imported late: torchmetrics takes most of a second, which every ns-* command would pay.
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    size = max(2, num_classes)  # torchmetrics knows no matrix of one class
    matrix = multiclass_confusion_matrix(
        predicted.flatten().long(), truth.flatten().long(), size, ignore_index=IGNORE_INDEX, validate_args=False
    )
    return matrix[:num_classes, :num_classes]


def segmentation_scores(matrix: Int[Tensor, "classes classes"], names: Sequence[str]) -> Dict[str, float]:
    """The scores that are a reduction of a confusion matrix, as fractions.

    Args:
        matrix: rows are true classes, columns predicted ones.
        names: of the classes.

    Returns:
        `miou`, the mean IoU over the classes present in the truth; `miou_union`, over those present in truth or
        prediction; `total_accuracy`; `average_accuracy`, the mean recall over the classes present in the truth; and
        `iou/NAME` for each class present in truth or prediction. Nothing where no pixel is labelled.
    """
    counts = matrix.double()
    hits, true, found = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    if counts.sum() == 0:
        return {}
    union = true + found - hits
    in_truth, in_either = true > 0, union > 0
    iou: Float[Tensor, "classes"] = hits / union.clamp(min=1)
    scores = {
        "miou": iou[in_truth].mean(),
        "miou_union": iou[in_either].mean(),
        "total_accuracy": hits.sum() / counts.sum(),
        "average_accuracy": (hits / true.clamp(min=1))[in_truth].mean(),
    }
    scores.update({f"iou/{name}": iou[i] for i, name in enumerate(names) if in_either[i]})
    return {key: float(torch.as_tensor(value)) for key, value in scores.items()}
