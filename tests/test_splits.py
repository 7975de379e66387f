"""Which photos are held out."""

from __future__ import annotations

import pytest

from nerfseg_ns.dataparsers.splits import Split, split_listed, split_photos
from nerfseg_ns.errors import UserError


def test_labelled_photos_are_trained_on_and_every_eighth_other_is_held_out():
    """Of 18 unlabelled photos, the fifth and the thirteenth; the labelled ones are the first two of 20."""
    photos = [f"{index}.jpg" for index in range(20)]
    split = split_photos(photos, [True] * 2 + [False] * 18)
    assert split.held_out == [6, 14]
    assert split.train == [index for index in range(20) if index not in (6, 14)]


@pytest.mark.parametrize(
    ("mode", "held_out"),
    [("interval", [2, 4]), ("fraction", [3]), ("filename", [2, 4]), ("all", [0, 1, 2, 3, 4])],
)
def test_modes_of_splitting(mode, held_out):
    """Five photos, the first one labelled; an interval of 2, and a fraction of 0.6, over the others.

    The fraction keeps ceil(4 * 0.6) = 3 of the four, evenly spaced: the first, the second and the last.
    """
    photos = ["eval_0.png", "train_1.png", "eval_2.png", "train_3.png", "eval_4.png"]
    split = split_photos(photos, [True] + [False] * 4, mode, interval=2, train_fraction=0.6)
    assert split.held_out == held_out
    assert split.train == ([0, 1, 2, 3, 4] if mode == "all" else sorted(set(range(5)) - set(split.held_out)))


def test_without_a_photo_to_hold_out_all_are_in_both_parts():
    assert split_photos(["a", "b"], [True, True]) == Split([0, 1], [0, 1])
    assert split_photos(["a", "b"], [False, False], interval=1) == Split([0, 1], [0, 1])
    assert split_listed(["a.png", "b.png"], ["b"]) == Split([0], [1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "eval_interval is 0"),
        ({"mode": "fraction", "train_fraction": 1.5}, "train_split_fraction is 1.5"),
        ({"mode": "filename"}, "train or eval in its name"),
    ],
)
def test_bad_options_of_splitting(options, message):
    with pytest.raises(UserError, match=message):
        split_photos(["a.png", "b.png"], [True, False], **options)
