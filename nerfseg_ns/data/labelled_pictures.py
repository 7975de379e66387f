"""Whole labelled photos, for what looks at them as pictures."""

from __future__ import annotations

from typing import List

import torch

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.eye.eye import LabelledPicture
from nerfseg_ns.labels.classes import IGNORE_INDEX


def labelled_pictures(dataset: LabelledDataset) -> List[LabelledPicture]:
    """Colours and labels of every labelled photo; what lies outside its mask is not labelled."""
    pictures = []
    for view in dataset.label_maps.labelled:
        data = dataset.get_data(view)
        labels = data["semantics"][..., 0]
        if "mask" in data:
            labels = torch.where(data["mask"][..., 0].bool(), labels, torch.full_like(labels, IGNORE_INDEX))
        pictures.append((data["image"], labels))
    return pictures
