"""Parts the labelled photos into those that are learnt from and those that find the number of epochs."""

from __future__ import annotations

from typing import List, Tuple

import torch

from nerfseg_ns.compare.cnn.photos import TrainingPhoto
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.labels.classes import IGNORE_INDEX

FEWEST_PHOTOS = 3
"""Labelled photos from which on whole photos are held out. Of fewer, that would leave one or none to learn from."""


def hold_out(photos: List[TrainingPhoto], share: float) -> Tuple[List[TrainingPhoto], List[TrainingPhoto]]:
    """Parts labelled photos in two.

    Whole photos are held out where there are enough, since new views are what the network will be asked for; else the
    right part of each photo. Its columns hold near and far things alike, as rows of an oblique photo do not.

    Args:
        photos: each with a labelled pixel.
        share: of the photos, or of the labelled pixels, to hold out; 0 for none.

    Returns:
        What is learnt from, and what is held out.
    """
    if share == 0:
        return photos, []
    if len(photos) >= FEWEST_PHOTOS:
        held_out = evenly_spaced_indices(len(photos), max(1, round(share * len(photos))))
        rest = [photo for position, photo in enumerate(photos) if position not in held_out]
        return rest, [photos[position] for position in held_out]
    parts = [_hold_out_columns(photo, share) for photo in photos]
    return [rest for rest, _ in parts], [held_out for _, held_out in parts]


def _hold_out_columns(photo: TrainingPhoto, share: float) -> Tuple[TrainingPhoto, TrainingPhoto]:
    """The photo with the labels left and right of the column that has `share` of the labelled pixels at its right."""
    labelled = (photo.labels != IGNORE_INDEX).sum(dim=0).cumsum(dim=0)
    column = int(torch.searchsorted(labelled, round((1 - share) * int(labelled[-1])))) + 1
    left, right = photo.labels.clone(), photo.labels.clone()
    left[:, column:] = IGNORE_INDEX
    right[:, :column] = IGNORE_INDEX
    return TrainingPhoto(photo.image, left), TrainingPhoto(photo.image, right)
