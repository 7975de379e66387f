"""What DJI's drones write into a photo's XMP packet: heights, the gimbal's pitch, and how exact the position is.

Names and meanings are those of DJI's manuals ("XMP data list" of the Zenmuse P1, "Photo file" of the Mavic 3E).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Optional, Union

_FIELD = re.compile(r'(?<!/)drone-dji:(\w+)(?:\s*=\s*["\']([^"\']*)["\']|\s*>([^<]*)<)')
"""An attribute, as the drone writes it, or an element, as programs do that rewrite the packet. A parser of XML is not
wanted: packets come from anywhere, and are often not well formed."""
FIXED, NO_POSITION = 50, 0
"""RtkFlag: fixed solution (centimetres), no position. 16 is a single point (metres), 32 to 49 a floating solution."""
LEAST_DEVIATION = 0.01
"""Metres; smaller standard deviations, 0 too, are taken for this one: nothing that flies is known better."""


@dataclass(frozen=True)
class DjiFacts:
    """What a photo's XMP packet says; None for what it does not.

    Args:
        absolute: altitude, metres.
        relative: height above the take-off point, metres.
        pitch: of the gimbal, degrees: 0 at the horizon, -90 straight down.
        deviations: standard deviations of the position in plan (the larger of the two) and in height, metres.
        is_rtk: the absolute altitude is an RTK receiver's, and so counted from the ellipsoid.
    """

    absolute: Optional[float] = None
    relative: Optional[float] = None
    pitch: Optional[float] = None
    deviations: Optional[tuple[float, float]] = None
    is_rtk: bool = False


def read_dji(packet: Union[bytes, str, None]) -> DjiFacts:
    """Reads an XMP packet; of another maker's nothing is known."""
    if not packet:
        return DjiFacts()
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    fields = {found[1]: (found[2] if found[2] is not None else found[3]).strip() for found in _FIELD.finditer(text)}
    flag = _number(fields.get("RtkFlag"))
    return DjiFacts(
        _number(fields.get("AbsoluteAltitude")),
        _number(fields.get("RelativeAltitude")),
        _number(fields.get("GimbalPitchDegree")),
        None if flag == NO_POSITION else _deviations(fields),
        flag == FIXED or (fields.get("AltitudeType") == "RtkAlt" and flag != NO_POSITION),
    )


def _deviations(fields: dict[str, str]) -> Optional[tuple[float, float]]:
    values = [_number(fields.get(name)) for name in ("RtkStdLon", "RtkStdLat", "RtkStdHgt")]
    known = [value for value in values if value is not None and value >= 0]
    if len(known) < 3:
        return None
    east, north, height = (max(value, LEAST_DEVIATION) for value in known)
    return max(east, north), height


def _number(text: Optional[str]) -> Optional[float]:
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
