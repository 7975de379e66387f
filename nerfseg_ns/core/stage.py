"""The two stages of a training, and what learns in which."""

from enum import Enum

SEMANTIC_GROUP = "semantics"
"""Parameter group that learns in stage 2; all other groups learn in stage 1."""
GUIDANCE_GROUP = "guidance"
"""Parameter group of what the labels tell stage 1."""
EXPOSURE_GROUP = "exposures"
"""Parameter group of the photos' exposures."""
LABEL_GROUPS = {SEMANTIC_GROUP, GUIDANCE_GROUP}
"""Parameter groups that begin anew with other labels."""


class Stage(Enum):
    """What is being learnt."""

    IMPLICIT = "implicit"
    """Stage 1: density and color of the scene, from all photos (and labels, where they guide it)."""
    SEMANTIC = "semantic"
    """Stage 2: labels on top of the frozen density, from the labelled photos."""
