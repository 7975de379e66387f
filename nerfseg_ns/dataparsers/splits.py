"""Which photos of a scene are trained on and which are held out, for scenes that do not define their splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from nerfstudio.data.utils.dataparsers_utils import get_train_eval_split_filename, get_train_eval_split_fraction

from nerfseg_ns.errors import UserError

EvalMode = Literal["interval", "fraction", "filename", "all"]


class Split(NamedTuple):
    """Positions of photos in the scene's list, ascending."""

    train: list[int]
    held_out: list[int]
    """nerfstudio's val and test, both."""


def split_photos(
    names: Sequence[str],
    labelled: Sequence[bool],
    mode: EvalMode = "interval",
    interval: int = 8,
    train_fraction: float = 0.9,
) -> Split:
    """Holds out some of the unlabelled photos; labelled ones are always trained on.

    Args:
        names: the photos' file names.
        labelled: for each, whether it has labels.
        mode: interval: every `interval`-th unlabelled photo is held out; fraction: all but `train_fraction` of them;
            filename: those with eval in their name (the others say train); all: none, and every photo is in both.
        interval: for that mode, at least 1.
        train_fraction: for that mode, above 0 and at most 1.

    Returns:
        The split. Where no photo is left to hold out, or none to train on, every photo is in both parts: scores are
        then those of training photos.

    Raises:
        UserError: an option makes no sense, or a name says neither train nor eval.
    """
    everything = list(range(len(names)))
    free = [index for index in everything if not labelled[index]]
    if not free or mode == "all":
        return Split(everything, everything)
    held_out = {
        free[position] for position in _held_positions([names[i] for i in free], mode, interval, train_fraction)
    }
    train = [index for index in everything if index not in held_out]
    if not held_out or not train:
        return Split(everything, everything)
    return Split(train, sorted(held_out))


def split_listed(names: Sequence[str], listed: Sequence[str]) -> Split:
    """Holds out the photos that a list names, labelled or not.

    Args:
        names: the photos' file names, all different.
        listed: file names, with or without their suffix.

    Raises:
        UserError: a name in the list is no photo's, or no photo is left to train on.
    """
    position = {name.rpartition(".")[0]: index for index, name in enumerate(names)}
    position |= {name: index for index, name in enumerate(names)}
    unknown = [name for name in listed if name not in position]
    if unknown:
        raise UserError(
            f"There is no photo {unknown[0]} ({len(unknown)} of {len(listed)} listed names are unknown); the first "
            f"photo is {names[0]}."
        )
    held_out = sorted({position[name] for name in listed})
    train = sorted(set(range(len(names))) - set(held_out))
    if not train:
        raise UserError("All photos are in the list of those to hold out; leave some to train on.")
    return Split(train, held_out)


def _held_positions(names: list[str], mode: EvalMode, interval: int, train_fraction: float) -> list[int]:
    if mode == "fraction":
        if not 0 < train_fraction <= 1:
            raise UserError(f"train_split_fraction is {train_fraction}; expected a number above 0, at most 1.")
        return get_train_eval_split_fraction(names, train_fraction)[1].tolist()
    if mode == "filename":
        try:
            return get_train_eval_split_filename(names)[1].tolist()
        except ValueError as error:
            raise UserError(
                "eval_mode is filename, but not every unlabelled photo has train or eval in its name. Rename them, or "
                "choose another eval_mode."
            ) from error
    if interval < 1:
        raise UserError(f"eval_interval is {interval}; expected a whole number of at least 1.")
    # From the middle of each interval: the first photo is a corner of the survey, which fewest others overlap.
    return np.arange(min(interval // 2, len(names) - 1), len(names), interval).tolist()
