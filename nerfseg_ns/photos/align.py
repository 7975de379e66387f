"""Puts a reconstruction into metres, east, north, up by the known places of its photos, or of targets in them.

Plan and heights are judged apart. Where the heights fit, all three coordinates place the scene. Where they do not
(cheap receivers' altitudes drift by a hundred metres), or where the places lie on one line, up is taken from the views,
the ground and the flight (`photos.up`), and only scale, heading and place from the positions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from nerfseg_ns.geo.quality import FLIGHT_LEVEL, TAKE_OFF
from nerfseg_ns.photos.alignment import Alignment, Doubt, Found, Task, finish, local_positions, scale_only
from nerfseg_ns.photos.exif import GpsPosition
from nerfseg_ns.photos.fit import FEWEST, Positions, fit_plan, fit_space, spread, turn_about_line
from nerfseg_ns.photos.up import Up, angle

LARGEST_RESIDUAL = 1 / 3
"""Median residual as a share of the positions' spread, beyond which a fit in space says nothing."""
LARGEST_SCALE_ERROR = 0.15
"""Standard error of the scale beyond which the positions' plan says nothing: chance gives that."""
LARGEST_TILT = 5.0
"""Degrees of uncertainty about the flight line, beyond which the positions count as a line."""
THINNEST = 0.02
"""Spread across the flight line as a share of the spread along it, below which the positions count as a line."""
TIPPED = 8.0
"""Degrees that the heights may tip the scene against what else says which way is up, before they are not believed."""
ONE_PLACE = 0.01
"""Metres between positions that count as one."""
NO_DOUBT = Doubt("")


def align(
    centres: Positions,
    places: Sequence[GpsPosition],
    seed: int = 0,
    what: str = "GPS positions",
    tolerance: float = 0.0,
    up: Optional[Up] = None,
) -> tuple[Optional[Alignment], str]:
    """Finds the similarity that carries points onto their places on the earth, whatever a minority of these says.

    Args:
        centres: of the cameras, or other points, in the reconstruction's units.
        places: of the same cameras or points.
        seed: of the random trials.
        what: the places are, for the words.
        tolerance: distance, in the reconstruction's units, that is never too far off.
        up: of the reconstruction, if anything but the places tells.

    Returns:
        The alignment, None where there can be none, and in words how it came about.
    """
    if len(places) < FEWEST:
        return None, f"Not georeferenced: registered photos have {len(places)} {what}, {FEWEST} are needed."
    plain, mixed = _one_kind_of_heights(places)
    task = Task(centres, plain, seed, what, tolerance, up)
    rough, positions = local_positions(plain)
    if np.median(np.linalg.norm(positions - np.median(positions, axis=0), axis=1)) < ONE_PLACE:
        return None, f"Not georeferenced: the {what} are all at one place."
    found, doubt = _by_space(task)
    if found is None and up is not None:
        relative = _above_takeoff(task)
        found = None if relative is None else _by_space(relative)[0]
        found, doubt = _by_plan(task, doubt) if found is None else (found, doubt)
    if found is None:
        return (scale_only(task) if doubt.is_line else None), doubt.words
    alignment, note = found
    return alignment, " ".join(part for part in (note, mixed) if part)


def _by_space(task: Task) -> tuple[Optional[Found], Doubt]:
    """By all three coordinates, if the heights are fit for it; else why not."""
    known = sum(place.altitude is not None for place in task.places)
    if 0 < known < len(task.places):
        return None, Doubt(
            f"Not georeferenced: {len(task.places) - known} of {len(task.places)} {task.what} have no altitude, and "
            "nothing else says which way is up."
        )
    rough, positions = local_positions(task.places)
    fit = fit_space(task.points, positions, task.deviations, task.seed, task.tolerance)
    if fit is None:
        return None, Doubt(f"Not georeferenced: the {task.what} are all at one place.")
    similarity, used = fit
    residual = float(np.median(np.linalg.norm(similarity(task.points) - positions, axis=1)[used]))
    along, across = spread(similarity.scale * task.points[used])[:2]
    if not residual < LARGEST_RESIDUAL * along:
        return None, Doubt(
            f"Not georeferenced: the {task.what} do not fit the photos (off by {residual:.1f} m in the median, over "
            f"{along:.1f} m of flight)."
        )
    turned = ""
    if _is_line(residual, along, across, int(used.sum())):
        if task.up is None:
            return None, Doubt(
                f"In metres, but not georeferenced: the {task.what} lie on one straight line, which leaves open how "
                "the scene is turned about that line. A second flight line beside it settles it.",
                is_line=True,
            )
        similarity = turn_about_line(similarity, task.points[used], task.up.direction)
        turned = f" They lie nearly on one line; how the scene is turned about it is from {_words(task.up)}."
    if task.up is not None and not task.up.agrees(similarity.up, TIPPED):
        tipped = angle(task.up.direction, similarity.up)
        return None, Doubt(f"they would tip the scene by {tipped:.0f} degrees", is_tipped=True)
    heights = task.places[0].heights if task.places[0].altitude is not None else FLIGHT_LEVEL
    return finish(task, rough, positions, similarity, used, heights, np.ones(len(used), bool), turned), NO_DOUBT


def _by_plan(task: Task, doubt: Doubt) -> tuple[Optional[Found], Doubt]:
    """By the plan alone, up given; heights are the median of what the places say."""
    assert task.up is not None
    rough, positions = local_positions(task.places)
    fit = fit_plan(task.points, positions, task.deviations, task.up.direction, task.seed, task.tolerance)
    if fit is None:
        return None, Doubt(f"Not georeferenced: the {task.what} are all at one place.")
    similarity, used = fit
    carried = similarity(task.points)
    residual = float(np.median(np.linalg.norm((carried - positions)[used, :2], axis=1)))
    reach = float(np.sqrt(((carried - carried[used].mean(axis=0))[used, :2] ** 2).sum()))
    if not residual < LARGEST_SCALE_ERROR * reach or not residual < spread(carried[used])[0]:
        return None, Doubt(
            f"Not georeferenced: the {task.what} do not fit the photos, in plan either (off by {residual:.1f} m in the "
            f"median, over {spread(carried[used])[0]:.1f} m of flight)."
        )
    known = np.array([place.altitude is not None for place in task.places])
    heights = task.places[int(np.argmax(known))].heights if known.any() else FLIGHT_LEVEL
    shift = np.median((positions - carried)[known & used, 2]) if (known & used).any() else -carried[used, 2].mean()
    similarity = replace(similarity, translation=similarity.translation + (0.0, 0.0, shift))
    positions = np.column_stack([positions[:, :2], np.where(known, positions[:, 2], similarity(task.points)[:, 2])])
    reason = f" ({doubt.words})" if doubt.is_tipped else ""
    why = f" Their heights had no say{reason}: up is from {_words(task.up)}."
    return finish(task, rough, positions, similarity, used, heights, known, why, plan_only=True), NO_DOUBT


def _one_kind_of_heights(places: Sequence[GpsPosition]) -> tuple[list[GpsPosition], str]:
    """The places without the altitudes that are counted from something else than most, and in words that this is so."""
    kinds = Counter(place.heights for place in places if place.altitude is not None)
    if len(kinds) < 2:
        return list(places), ""
    kept, count = kinds.most_common(1)[0]
    plain = [place if place.heights == kept else replace(place, altitude=None, heights=kept) for place in places]
    return plain, (
        f"The altitudes of {kinds.total() - count} of {kinds.total()} are counted from something else and left aside."
    )


def _above_takeoff(task: Task) -> Optional[Task]:
    """The task with heights above the take-off point, if all places have them."""
    if any(place.above_takeoff is None for place in task.places):
        return None
    places = [replace(place, altitude=place.above_takeoff, heights=TAKE_OFF) for place in task.places]
    return replace(task, places=places)


def _is_line(residual: float, along: float, across: float, count: int) -> bool:
    tilt = np.degrees(residual / (max(across, 1e-9) * np.sqrt(count)))
    return bool(across < THINNEST * along or tilt > LARGEST_TILT)


def _words(up: Up) -> str:
    return f"{up.source} (to {up.error:.0f} degree{'s' if round(up.error) != 1 else ''})"
