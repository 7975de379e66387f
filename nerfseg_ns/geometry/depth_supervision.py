"""Loss that pulls matter to where matched photos say it is."""

from jaxtyping import Float
from nerfstudio.cameras.rays import RaySamples
from torch import Tensor

FLOOR = 1e-2
"""Keeps a wrong match, a ray that nothing can satisfy, from mattering much: the loss is at most its negative log."""


def depth_supervision_loss(
    weights: Float[Tensor, "rays samples 1"],
    samples: RaySamples,
    distances: Float[Tensor, "rays 1"],
    tolerance: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Rays should end within the tolerance of the known distance and be clear before it.

    In the spirit of depth-supervised NeRF (Deng et al. 2022): negative log of the weight within the tolerance, plus the
    weight before it.

    Args:
        weights: volume-rendering weights.
        samples: of the same rays.
        distances: at which the rays are known to end.
        tolerance: in the same units.
    """
    starts, ends = samples.frustums.starts, samples.frustums.ends
    near, far = (distances - tolerance)[:, None], (distances + tolerance)[:, None]
    hit = (weights * ((ends > near) & (starts < far))).sum(dim=-2)
    before = (weights * (ends < near)).sum(dim=-2)
    return (before - (hit + FLOOR).log()).mean()
