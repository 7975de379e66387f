"""A run that has broken down ends at once, with its last good checkpoint still there."""

import math
from typing import Dict, Iterable, Tuple

import torch
from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.errors import UserError

CHECK_EVERY = 100
"""Steps between two looks at the loss; each waits for the GPU."""
ADVICE = (
    "Training cannot go on, and nothing of it was saved; an earlier checkpoint is as it was. Start from that with "
    "--load-dir, or anew with another --machine.seed; if it happens again, lower the learning rates "
    "(--optimizers.NAME.optimizer.lr)."
)


def require_finite_losses(losses: Dict[str, Float[Tensor, ""]], step: int) -> None:
    """Checks a step's losses.

    Args:
        losses: by name.
        step: that they are of.

    Raises:
        UserError: one is infinite or not a number.
    """
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    if not all(map(math.isfinite, values.values())):
        described = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        raise UserError(f"The loss at step {step} is no finite number: {described}. {ADVICE}")


def require_finite_parameters(parameters: Iterable[Tuple[str, Tensor]], step: int) -> None:
    """Checks what is about to be saved.

    Args:
        parameters: by name.
        step: after which they are saved.

    Raises:
        UserError: there is an infinite value in one, or one that is not a number.
    """
    broken = [name for name, values in parameters if not torch.isfinite(values).all()]
    if broken:
        raise UserError(
            f"After step {step}, {len(broken)} of the run's parameters hold values that are no finite numbers, the "
            f"first of them {broken[0]}. {ADVICE}"
        )
