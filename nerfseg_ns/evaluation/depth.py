"""How right the rendered depth is, against depth that is known: right colors alone do not tell."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from nerfseg_ns.errors import UserError


class DepthScore:
    """Gathers relative depth errors view by view; the score is their median over all pixels of all views."""

    def __init__(self) -> None:
        self._errors: List[Float[ndarray, " pixels"]] = []

    def add(self, rendered: Float[ndarray, "height width"], truth: Float[ndarray, "height width"]) -> None:
        """Adds a view.

        Args:
            rendered: distances along the rays, in the units of the poses.
            truth: the same, not finite where there is nothing (the sky); those pixels do not count.
        """
        self._errors.append(relative_errors(rendered, truth))

    def median(self) -> float:
        """The median relative error, a fraction.

        Raises:
            UserError: no pixel of any view has a true depth.
        """
        errors = np.concatenate([np.empty(0), *self._errors])
        if not errors.size:
            raise UserError("No pixel of the test views has a known depth: are truth/test/depth/*.npy all sky?")
        return float(np.median(errors))


def relative_errors(
    rendered: Float[ndarray, "height width"], truth: Float[ndarray, "height width"]
) -> Float[ndarray, " pixels"]:
    """|rendered - true| / true of the pixels whose true depth is finite; infinite where the rendered one is not.

    Raises:
        UserError: the two are not of one shape.
    """
    if rendered.shape != truth.shape:
        raise UserError(f"The rendered depth is of shape {rendered.shape}, the true one of {truth.shape}.")
    known = np.isfinite(truth)
    found, true = rendered[known].astype(np.float64), truth[known].astype(np.float64)
    return np.where(np.isfinite(found), np.abs(found - true) / true, np.inf)


def read_true_depth(town: Path, stem: str, split: str = "test") -> Float[ndarray, "height width"]:
    """The true depth of a view of the built-in town, in the units of its poses, infinite for the sky.

    Args:
        town: folder of the town.
        stem: of the view's files.
        split: the view's.

    Raises:
        UserError: the file is missing or is no array.
    """
    path = town / "truth" / split / "depth" / f"{stem}.npy"
    try:
        return np.load(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot read the true depth {path}: {error}. Towns made by `nerfseg town` have it for every view."
        ) from error
