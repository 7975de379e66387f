"""The label outputs of a view: colours of the classes, overlay, confidence, logits."""

from typing import Dict

import torch
from jaxtyping import Float
from torch import Tensor

OVERLAY_OPACITY = 0.55
MIN_CHANNELS = 4
"""The viewer takes exactly three channels for a colour and fails on two: logits have at least four."""
TIE_BREAK = 1e-3


def label_outputs(
    logits: Float[Tensor, "rays classes"],
    rgb: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    palette: Float[Tensor, "classes 3"],
) -> Dict[str, Tensor]:
    """Outputs for viewer and files, all per ray.

    Returns:
        `semantics_logits` (see `displayable`), `semantics_confidence` (softmax probability of the chosen class),
        `semantics_overlay` (class colour over the rendered colour), `semantics_colormap` (class colour).
    """
    displayed = displayable(logits, directions)
    logits = displayed[..., : len(palette)]  # so that all outputs agree on every pixel's class
    colours = palette[logits.argmax(dim=-1)]
    return {
        "semantics_logits": displayed,
        "semantics_confidence": logits.softmax(dim=-1).amax(dim=-1, keepdim=True),
        "semantics_overlay": torch.lerp(rgb, colours, OVERLAY_OPACITY),
        "semantics_colormap": colours,
    }


def pending_outputs(
    rgb: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], num_classes: int
) -> Dict[str, Tensor]:
    """The same outputs before there are labels: the view in pale grey, the plain colour as overlay, no confidence."""
    grey = 0.5 + 0.4 * rgb.mean(dim=-1, keepdim=True)
    return {
        "semantics_logits": displayable(rgb.new_zeros(len(rgb), num_classes), directions),
        "semantics_confidence": torch.zeros_like(grey),
        "semantics_overlay": rgb,
        "semantics_colormap": grey.expand(-1, 3).clone(),
    }


def displayable(
    logits: Float[Tensor, "rays classes"], directions: Float[Tensor, "rays 3"]
) -> Float[Tensor, "rays channels"]:
    """Logits that nerfstudio's principal-component display can always show.

    It fails on fewer than four channels and where half of a view has the very same logits (a sky, or no labels yet).
    So there are at least four channels (the added ones hold the ray's least logit), and the ray's direction is added to
    the first three a thousandfold dimmed. The first `classes` channels are the logits to three decimals.
    """
    missing = max(0, MIN_CHANNELS - logits.shape[-1])
    padded = torch.cat([logits, logits.amin(dim=-1, keepdim=True).expand(-1, missing)], dim=-1)
    padded[..., :3] += TIE_BREAK * directions
    return padded
