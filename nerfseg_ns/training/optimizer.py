"""Adam in one pass over the parameters: grids have millions, of which a step moves few."""

from dataclasses import dataclass

from nerfstudio.engine.optimizers import AdamOptimizerConfig


@dataclass
class FusedAdamOptimizerConfig(AdamOptimizerConfig):
    """nerfstudio's Adam with torch's fused implementation, on CPU and CUDA."""

    fused: bool = True
    """Use torch's fused implementation; switch off where torch says that the device has none."""
