"""Whole labelled photos, for what looks at them as pictures."""

from __future__ import annotations

from typing import Sequence

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.eye.eye import LabelledPicture


class LabelledPictures(Sequence[LabelledPicture]):
    """Colors and labels of every labelled photo, read when they are asked for.

    Args:
        dataset: the photos.
    """

    def __init__(self, dataset: LabelledDataset) -> None:
        self.dataset, self.views = dataset, dataset.label_maps.labelled

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, place: int) -> LabelledPicture:
        data = self.dataset.get_neutral(self.views[place])
        return data["image"], data["semantics"][..., 0]
