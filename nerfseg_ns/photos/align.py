"""Puts a reconstruction into metres, east, north, up by the GPS positions of its photos."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Optional

import numpy as np
import pycolmap
from jaxtyping import Bool, Float64

from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.photos.exif import GpsPosition

FEWEST = 3
"""Positions that an alignment needs at least."""
TRIALS = 500
"""Triples of positions that are tried for the robust fit."""
OUTLIER = 3.0
"""A position farther off than this many times the median is left out."""
LARGEST_RESIDUAL = 1 / 3
"""Median residual as a share of the positions' spread, beyond which the positions say nothing about the photos."""
LARGEST_TILT = 5.0
"""Degrees of uncertainty about the flight line, beyond which the positions count as a line."""
THINNEST = 0.02
"""Spread across the flight line as a share of the spread along it, below which the positions count as a line."""

Positions = Float64[np.ndarray, "photos 3"]


@dataclass(frozen=True)
class Alignment:
    """From a reconstruction's own units to the earth.

    Args:
        similarity: from the reconstruction to local metres.
        frame: the local frame; None if only the scale could be found: the axes are then the reconstruction's own.
        residuals: distance in metres between each GPS position and its aligned camera.
        used: which positions decided the fit; the others were too far off.
    """

    similarity: pycolmap.Sim3d
    frame: Optional[LocalFrame]
    residuals: Float64[np.ndarray, " photos"]
    used: Bool[np.ndarray, " photos"]

    @property
    def median_residual(self) -> float:
        """Of the positions that were used, metres."""
        return float(np.median(self.residuals[self.used]))


def local_positions(places: list[GpsPosition]) -> tuple[LocalFrame, Positions]:
    """GPS positions in metres, about their median, which a few wrong ones do not move.

    Args:
        places: at least one; those that have no altitude count as at height 0.

    Returns:
        The frame and the positions in it: east, north, up.
    """
    geodetic = np.array([(place.latitude, place.longitude, place.altitude or 0.0) for place in places])
    first = LocalFrame(*geodetic[0])
    middle = np.median(first.from_geodetic(geodetic), axis=0)
    frame = LocalFrame.at_ecef(first.to_ecef(middle))
    return frame, frame.from_geodetic(geodetic)


def align(
    centres: Positions,
    places: list[GpsPosition],
    seed: int = 0,
    what: str = "GPS positions",
    tolerance: float = 0.0,
) -> tuple[Optional[Alignment], str]:
    """Finds the similarity that carries points onto their places on the earth, whatever a minority of these says.

    Args:
        centres: of the cameras, or other points, in the reconstruction's units.
        places: of the same cameras or points.
        seed: of the random triples.
        what: the places are, for the words.
        tolerance: distance, in the reconstruction's units, that is never too far off.

    Returns:
        The alignment, None where there can be none, and in words how it came about.
    """
    if len(places) < FEWEST:
        return None, f"Not georeferenced: registered photos have {len(places)} {what}, {FEWEST} are needed."
    rough, positions = local_positions(places)
    used = _consistent(centres, positions, seed, tolerance)
    if used is None:
        return None, f"Not georeferenced: the {what} are all at one place."
    frame = _frame_about(rough, positions[used])
    positions = frame.from_ecef(rough.to_ecef(positions))
    similarity = pycolmap.estimate_sim3d(centres[used], positions[used])
    residuals = _residuals(similarity, centres, positions)
    residual, count = float(np.median(residuals[used])), int(used.sum())
    along, across = _spread(similarity.scale * centres[used])[:2]
    if not residual < LARGEST_RESIDUAL * along:
        return None, (
            f"Not georeferenced: the {what} do not fit the photos (off by {residual:.1f} m in the median, over "
            f"{along:.1f} m of flight)."
        )
    tilt = np.degrees(residual / (max(across, 1e-9) * np.sqrt(count)))
    if across < THINNEST * along or tilt > LARGEST_TILT:
        scale_only = pycolmap.Sim3d(similarity.scale, pycolmap.Rotation3d(), np.zeros(3))
        return Alignment(scale_only, None, residuals, used), (
            f"In metres, but not georeferenced: the {what} lie on one straight line, which leaves open how the "
            "scene is turned about that line. A second flight line beside it settles it."
        )
    return Alignment(similarity, frame, residuals, used), (
        f"Georeferenced by {count} of {len(places)} {what}: metres, east, north, up."
    )


def _consistent(
    centres: Positions, positions: Positions, seed: int, tolerance: float
) -> Optional[Bool[np.ndarray, " photos"]]:
    """Which positions agree with one similarity: the least median of residuals over triples, then refined."""
    best, least, allowed = None, np.inf, 0.0
    for triple in _triples(len(positions), seed):
        similarity = pycolmap.estimate_sim3d(centres[triple], positions[triple])
        if similarity is None or not similarity.scale > 0:
            continue
        residuals = _residuals(similarity, centres, positions)
        if np.median(residuals) < least:
            best, least, allowed = residuals, float(np.median(residuals)), tolerance * similarity.scale
    if best is None:
        return None
    used = _near(best, allowed)
    for _ in range(20):
        similarity = pycolmap.estimate_sim3d(centres[used], positions[used])
        if similarity is None:
            return None
        before, used = used, _near(_residuals(similarity, centres, positions), tolerance * similarity.scale)
        if (used == before).all():
            break
    return used


def _triples(count: int, seed: int) -> list[list[int]]:
    if comb(count, 3) <= TRIALS:
        return [list(triple) for triple in combinations(range(count), 3)]
    rng = np.random.default_rng(seed)
    return [rng.choice(count, 3, replace=False).tolist() for _ in range(TRIALS)]


def _near(residuals: Float64[np.ndarray, " photos"], allowed: float) -> Bool[np.ndarray, " photos"]:
    """Positions within a few times the median or what is allowed, and never fewer than the nearer half."""
    least = max(FEWEST, len(residuals) // 2 + 1)
    return residuals <= max(OUTLIER * np.median(residuals), allowed, np.sort(residuals)[least - 1])


def _residuals(similarity: pycolmap.Sim3d, centres: Positions, positions: Positions) -> Float64[np.ndarray, " photos"]:
    matrix = similarity.matrix()
    return np.linalg.norm(centres @ matrix[:, :3].T + matrix[:, 3] - positions, axis=1)


def _frame_about(rough: LocalFrame, positions: Positions) -> LocalFrame:
    """The frame at the mean position, its origin rounded to a tenth of a millimetre so that files read well."""
    mean = LocalFrame.at_ecef(rough.to_ecef(positions.mean(axis=0)))
    return LocalFrame(round(mean.latitude, 9), round(mean.longitude, 9), round(mean.altitude, 4))


def _spread(positions: Positions) -> Float64[np.ndarray, "3"]:
    """Standard deviations along the principal axes, the largest first."""
    centred = positions - positions.mean(axis=0)
    return np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(positions))
