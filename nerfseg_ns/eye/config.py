"""Options of the trained eye. Imports nothing heavy, so that the command line can read it at no cost."""

from __future__ import annotations

from dataclasses import dataclass

from nerfseg_ns.core.older_runs import OlderConfig
from nerfseg_ns.errors import ErrorCollector, UserError

NO_BACKBONE = "none"
DEFAULT_BACKBONE = "efficientnet-lite0"
TIMM_PREFIX = "timm/"
LEAST_SKILL = 0.65
"""Share of labelled pixels, named without learning from their part of the photo, up to which an eye tells little."""
COUNTS = ("side", "least_side", "decoders", "steps", "patches", "copies", "max_copies", "trial_pixels")
"""Options that are whole numbers from 1 on."""


@dataclass
class EyeConfig(OlderConfig):
    """How photos are seen: a network trained on millions of other images, and what is learnt on its features."""

    renamed_fields = {"crops": "patches"}

    backbone: str = DEFAULT_BACKBONE
    """Network whose features are used, frozen. efficientnet-lite0 is installed with nerfseg, ImageNet weights included;
    timm/NAME is any convolutional network of timm 0.6 (such as timm/convnext_tiny), whose weights are downloaded when
    it is first used; none leaves the eye out: labels are then learnt from the labelled photos alone."""
    side: int = 1000
    """Pixels of a photo's longer side as the network sees it; larger photos are scaled down. Objects should be as large
    as in the photos that it was trained on: several hundred pixels of building, tens of car."""
    least_side: int = 384
    """Photos smaller than this are enlarged to it."""
    decoders: int = 3
    """Classifiers, each learnt anew, whose probabilities are averaged. One is wrong about whole classes in some
    trainings and right in others; three agree better from training to training, and take three times as long."""
    steps: int = 750
    """Steps that each of them learns for. More where many photos are labelled: rare classes need them."""
    patches: int = 4
    """Patches of labelled photos, of 256 pixels both ways, that a step learns from."""
    copies: int = 32
    """Copies of each labelled photo that are learnt from: turned by any angle, mirrored, recolored, of other sizes."""
    max_copies: int = 96
    """Most copies of all labelled photos together; where more photos are labelled, so many of them are learnt from. A
    copy of a photo of 1,000 x 750 pixels takes 13 MB of memory while it learns."""
    min_scale: float = 0.65
    """Size of the smallest copies, beside the photo as it is seen."""
    max_scale: float = 1.5
    """Size of the largest."""
    trial_pixels: int = 40_000
    """Labelled pixels that tell how far the eye is to be trusted."""
    test_turns: int = 4
    """Turns and mirrors of a photo that are classified and averaged: 1, 2 or 4. Fewer are faster."""
    refine_radius: int = 8
    """Pixels, of the classified photo at half size, within which borders are drawn to the photo's own edges; 0 leaves
    them as soft as the network's features are."""
    refine_epsilon: float = 1e-4
    """Variance of colors (0 to 1) from which on a difference is an edge."""

    def check(self) -> None:
        """Checks the options.

        Raises:
            UserError: one makes no sense.
        """
        problems = ErrorCollector()
        for name in COUNTS:
            if getattr(self, name) < 1:
                problems.add(
                    UserError(f"eye: {name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1.")
                )
        if self.test_turns not in (1, 2, 4):
            problems.add(UserError(f"eye: test-turns is {self.test_turns}; it must be 1, 2 or 4."))
        if not 0 < self.min_scale <= self.max_scale:
            problems.add(UserError("eye: min-scale is above 0, and at most max-scale."))
        problems.raise_found()
