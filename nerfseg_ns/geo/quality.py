"""How far the place of a scene on the earth can be trusted: what its heights are counted from, and how exact it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from nerfseg_ns.errors import UserError

ELLIPSOID = "metres above the WGS 84 ellipsoid"
AS_PHOTOS = "metres as the positions of the photos count them (their GPS altitude)"
SEA_LEVEL = "metres above sea level, as the photos say"
RTK_ELLIPSOID = "metres above the ellipsoid of the RTK service"
TAKE_OFF = "metres above the take-off point"
AS_CONTROL = "metres as the ground control counts them"
ZERO_CONTROL = "metres above the level of the ground control, whose heights were not measured"
FLIGHT_LEVEL = "metres above or below the level of the flight, for the photos say no altitude"


@dataclass(frozen=True)
class Quality:
    """What is known of a georeference beside where it is.

    Args:
        heights: what heights are counted from, in words; None if nobody said.
        plan: how far the positions that placed the scene are off in plan, median, metres; None if nobody knows.
        height: the same of their heights.
    """

    heights: Optional[str] = None
    plan: Optional[float] = None
    height: Optional[float] = None

    def record(self) -> dict[str, Any]:
        """As JSON; what is not known is left out."""
        accuracy = {"plan_m": self.plan, "height_m": self.height}
        accuracy = {name: round(value, 4) for name, value in accuracy.items() if value is not None}
        heights = {} if self.heights is None else {"heights": self.heights}
        return {**heights, **({"accuracy": accuracy} if accuracy else {})}

    @classmethod
    def read(cls, record: Mapping[str, Any], where: str) -> Quality:
        """What `record` wrote; files of before it said nothing.

        Raises:
            UserError: the accuracy is no number of metres.
        """
        accuracy = record.get("accuracy", {})
        try:
            values = [accuracy.get(name) for name in ("plan_m", "height_m")]
            plan, height = (None if value is None else float(value) for value in values)
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"The accuracy of the georeference in {where} is {accuracy!r}; expected "
                '{"plan_m": 1.5, "height_m": 3.0}.'
            ) from error
        heights = record.get("heights")
        return cls(None if heights is None else str(heights), plan, height)

    def words(self) -> str:
        """The accuracy for a line of text; empty if nothing is known."""
        parts = [(self.plan, "in plan"), (self.height, "in height")]
        return ", ".join(f"{metres(value)} {name}" for value, name in parts if value is not None)


def metres(value: float) -> str:
    """A length with as many digits as a reader wants: 0.042 m, 1.3 m, 14 m."""
    return f"{value:.3f} m" if value < 0.1 else f"{value:.2f} m" if value < 1 else f"{value:.1f} m"
