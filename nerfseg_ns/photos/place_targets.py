"""Turns a reconstruction to the earth by ground control, and finds the marks that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
import pycolmap
from jaxtyping import Float64

from nerfseg_ns.photos.align import align
from nerfseg_ns.photos.alignment import Alignment
from nerfseg_ns.photos.fit import OUTLIER
from nerfseg_ns.photos.ground_control import Target, triangulate
from nerfseg_ns.photos.up import Up

WHAT = "ground control points"


def align_targets(
    model: pycolmap.Reconstruction, targets: Sequence[Target], seed: int, tolerance: float, up: Optional[Up]
) -> tuple[list[Target], Optional[Alignment], str, dict[str, str]]:
    """Aligns a reconstruction to its targets.

    A target that is off, but fits without one of its marks (three are needed for that), keeps the others.

    Args:
        model: the reconstruction, not yet turned.
        targets: with their marks.
        seed: of random trials.
        tolerance: distance, in the model's units, that is never too far off.
        up: of the model, if anything tells.

    Returns:
        The targets that two photos with a pose show, the alignment or None, in words how it came about, and the photo
        whose mark was left out, by target.
    """
    found, points = triangulate(model, targets)
    alignment, note = align(points, [target.place for target in found], seed, WHAT, tolerance, up)
    if alignment is None or alignment.frame is None:
        return found, alignment, note, {}
    wrong = _wrong_marks(model, found, alignment, tolerance)
    if wrong:
        kept = [target.without(wrong[target.name]) if target.name in wrong else target for target in found]
        found, points = triangulate(model, kept)
        alignment, note = align(points, [target.place for target in found], seed, WHAT, tolerance, up)
    return found, alignment, note, wrong


def _wrong_marks(
    model: pycolmap.Reconstruction, targets: Sequence[Target], alignment: Alignment, tolerance: float
) -> dict[str, str]:
    """The photo, by target, without whose mark the target is no longer off."""
    limit = max(OUTLIER * alignment.median_residual, tolerance * alignment.similarity.scale)
    wrong = {}
    for target, used in zip(targets, alignment.used):
        if used or len(target.pixels) < 3:
            continue
        off = {photo: _off(model, target.without(photo), alignment) for photo in target.pixels}
        photo = min(off, key=lambda name: off[name])
        if off[photo] <= limit:
            wrong[target.name] = photo
    return wrong


def _off(model: pycolmap.Reconstruction, target: Target, alignment: Alignment) -> float:
    """Metres between where a target is and where its marks see it; infinite if two photos do not show it."""
    found, points = triangulate(model, [target])
    if not found:
        return float("inf")
    assert alignment.frame is not None
    matrix = alignment.similarity.matrix()
    known: Float64[np.ndarray, " 3"] = alignment.frame.from_geodetic(
        np.array([target.place.latitude, target.place.longitude, target.place.altitude])
    )
    return float(np.linalg.norm(matrix[:, :3] @ points[0] + matrix[:, 3] - known))
