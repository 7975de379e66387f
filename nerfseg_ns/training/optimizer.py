"""Adam in one pass over the parameters: grids have millions, of which a step moves few."""

from dataclasses import dataclass
from typing import Tuple

from nerfstudio.engine.optimizers import AdamOptimizerConfig


@dataclass
class FusedAdamOptimizerConfig(AdamOptimizerConfig):
    """nerfstudio's Adam with torch's fused implementation, on CPU and CUDA."""

    fused: bool = True
    """Use torch's fused implementation; switch off where torch says that the device has none."""
    betas: Tuple[float, float] = (0.9, 0.999)
    """Decay of the gradients' mean and of their squares' mean. Lower the second one to 0.99 for grids: a cell is met by
    few of the steps, and forgets sooner how large its first gradients were."""
