"""Alignments of reconstructions to the earth: what is given, what is found, how it is put into a local frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np
import pycolmap
from jaxtyping import Bool, Float64

from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.quality import FLIGHT_LEVEL, ZERO_CONTROL, Quality
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.fit import Positions, Similarity, Used, fit_space
from nerfseg_ns.photos.up import Up

PLAIN_DEVIATION = 5.0
"""Standard deviation in metres of a position that says nothing of it, beside others that do."""


@dataclass(frozen=True)
class Alignment:
    """From a reconstruction's own units to the earth.

    Args:
        similarity: from the reconstruction to local metres.
        frame: the local frame; None if only the scale could be found: the axes are then the reconstruction's own.
        residuals: distance in metres between each known place and its aligned point: in space, or in plan where heights
            had no say.
        used: which places decided the fit; the others were too far off.
        offsets: from the known places to the aligned points, metres: east, north, up.
        quality: what heights are counted from, and the median residuals in plan and height.
    """

    similarity: pycolmap.Sim3d
    frame: Optional[LocalFrame]
    residuals: Float64[np.ndarray, " photos"]
    used: Bool[np.ndarray, " photos"]
    offsets: Positions
    quality: Quality

    @property
    def median_residual(self) -> float:
        """Of the positions that were used, metres."""
        return float(np.median(self.residuals[self.used]))


@dataclass(frozen=True)
class Task:
    """What is to be aligned.

    Args:
        points: in the reconstruction's units.
        places: of the same points; all altitudes are of one kind, or None.
        seed: of random trials.
        what: the places are, in words.
        tolerance: distance, in the reconstruction's units, that is never too far off.
        up: of the reconstruction, if anything tells.
    """

    points: Positions
    places: Sequence[GpsPosition]
    seed: int
    what: str
    tolerance: float
    up: Optional[Up]

    @property
    def deviations(self) -> Float64[np.ndarray, " photos"]:
        """Of the places in space, metres; all 1 where no place says any."""
        known = [None if place.deviations is None else float(np.hypot(*place.deviations)) for place in self.places]
        if not any(known):
            return np.ones(len(known))
        return np.array([value or PLAIN_DEVIATION for value in known])


class Doubt(NamedTuple):
    """Why places cannot align a reconstruction."""

    words: str
    """For the user."""
    is_line: bool = False
    """They lie on a line, and fit but for the turn about it."""
    is_tipped: bool = False
    """They fit, and say of up something else than all the rest."""


Found = tuple[Alignment, str]
"""An alignment, and in words how it came about."""


def local_positions(places: Sequence[GpsPosition]) -> tuple[LocalFrame, Positions]:
    """GPS positions in metres, about their median, which a few wrong ones do not move.

    Args:
        places: at least one; those that have no altitude count as at the height of the others' median, or 0.

    Returns:
        The frame and the positions in it: east, north, up.
    """
    known = [place.altitude for place in places if place.altitude is not None]
    middle = float(np.median(known)) if known else 0.0
    geodetic = np.array(
        [(place.latitude, place.longitude, middle if place.altitude is None else place.altitude) for place in places]
    )
    first = LocalFrame(*geodetic[0])
    frame = LocalFrame.at_ecef(first.to_ecef(np.median(first.from_geodetic(geodetic), axis=0)))
    return frame, frame.from_geodetic(geodetic)


def finish(
    task: Task,
    rough: LocalFrame,
    positions: Positions,
    similarity: Similarity,
    used: Used,
    heights: str,
    known: Used,
    remark: str,
    plan_only: bool = False,
) -> Found:
    """The alignment about the middle of the places that were used, with its accuracy.

    Args:
        task: what is aligned.
        rough: frame of the positions.
        positions: of the places, metres in that frame.
        similarity: from the reconstruction to that frame.
        used: places that decided it.
        heights: what the places' heights are counted from.
        known: places that have a height.
        remark: for the user, a sentence with a blank before it, or nothing.
        plan_only: heights had no say.
    """
    middle = positions[used].mean(axis=0)
    if plan_only:
        middle[2] = similarity(task.points)[used, 2].mean()
    frame = _frame_at(rough, middle)
    # the rough frame's axes are turned against the new one's by the earth's curvature
    turn = frame.rotation_from_ecef @ rough.rotation_from_ecef.T
    shifted = frame.from_ecef(rough.to_ecef(similarity.translation))
    similarity = Similarity(similarity.scale, turn @ similarity.rotation, shifted)
    positions = frame.from_ecef(rough.to_ecef(positions))
    off = similarity(task.points) - positions
    plan, height = np.linalg.norm(off[:, :2], axis=1), np.abs(off[:, 2])
    judged = used & known
    quality = Quality(
        heights,
        _accuracy(plan[used], [place.deviations and place.deviations[0] for place in task.places]),
        None
        if heights in (FLIGHT_LEVEL, ZERO_CONTROL) or not judged.any()
        else _accuracy(height[judged], [place.deviations and place.deviations[1] for place in task.places]),
    )
    note = (
        f"Georeferenced by {used.sum()} of {len(used)} {task.what}: metres, east, north, up. They agree with the "
        f"photos to {quality.words()} (median).{remark} Heights are {heights}."
    )
    residuals = plan if plan_only else np.linalg.norm(off, axis=1)
    return Alignment(_sim3d(similarity), frame, residuals, used, off, quality), note


def scale_only(task: Task) -> Alignment:
    """Places on a line, and nothing that tells which way is up: metres, in the reconstruction's own axes."""
    _, positions = local_positions(task.places)
    fit = fit_space(task.points, positions, task.deviations, task.seed, task.tolerance)
    assert fit is not None
    similarity, used = fit
    off = similarity(task.points) - positions
    own = Similarity(similarity.scale, np.eye(3), np.zeros(3))
    return Alignment(_sim3d(own), None, np.linalg.norm(off, axis=1), used, off, Quality())


def _accuracy(residuals: Float64[np.ndarray, " n"], deviations: list[Optional[float]]) -> float:
    """The median residual, but never better than the receiver says of itself."""
    said = [value for value in deviations if value is not None]
    return float(max(np.median(residuals), np.median(said) if said else 0.0))


def _frame_at(rough: LocalFrame, position: Float64[np.ndarray, " 3"]) -> LocalFrame:
    """The frame at a position, its origin rounded to a tenth of a millimetre so that files read well."""
    exact = LocalFrame.at_ecef(rough.to_ecef(position))
    return LocalFrame(round(exact.latitude, 9), round(exact.longitude, 9), round(exact.altitude, 4))


def _sim3d(similarity: Similarity) -> pycolmap.Sim3d:
    return pycolmap.Sim3d(similarity.scale, pycolmap.Rotation3d(similarity.rotation), similarity.translation)
