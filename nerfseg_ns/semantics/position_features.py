"""Features of the place, learnt from the labels: what was labelled in one view is known there in every view.

The paper's Location-MLP keeps the position in its 256-wide feature. The small feature of a grid geometry does not: it
holds what density and colour need. These features give stage 2 the position back.
"""

from typing import Tuple

from nerfseg_ns.geometry.planes import MultiScalePlanes

SPREAD = 1e-3
"""Starting almost at nothing: a place that no label ever saw is judged by its location feature alone."""


class PositionFeatures(MultiScalePlanes):
    """Feature planes that belong to stage 2.

    Args:
        resolutions: cells along the ground, one entry a scale.
    """

    def __init__(self, resolutions: Tuple[int, ...]) -> None:
        super().__init__(resolutions, spread=SPREAD)
