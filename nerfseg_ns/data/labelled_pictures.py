"""Whole labelled photos, for what looks at them as pictures."""

from __future__ import annotations

from typing import Sequence

import torch

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.eye.eye import LabelledPicture
from nerfseg_ns.labels.classes import IGNORE_INDEX


class LabelledPictures(Sequence[LabelledPicture]):
    """Colours and labels of every labelled photo, read when they are asked for; nothing is labelled outside its mask.

    Args:
        dataset: the photos.
    """

    def __init__(self, dataset: LabelledDataset) -> None:
        self.dataset, self.views = dataset, dataset.label_maps.labelled

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, place: int) -> LabelledPicture:
        data = self.dataset.get_data(self.views[place])
        labels = data["semantics"][..., 0]
        if "mask" in data:
            labels = torch.where(data["mask"][..., 0].bool(), labels, torch.full_like(labels, IGNORE_INDEX))
        return data["image"], labels
