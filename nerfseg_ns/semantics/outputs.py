"""The label outputs of a view: colors of the classes, overlay, confidence, logits."""

from typing import Dict

import torch
from jaxtyping import Float
from torch import Tensor

LOGITS = "semantics_logits"
"""Name of the output that the others follow from."""
OVERLAY_OPACITY = 0.55
MIN_CHANNELS = 4
"""The viewer takes exactly three channels for a color and fails on two: shown logits have at least four."""
TIE_BREAK = 1e-3


def label_outputs(
    logits: Float[Tensor, "*pixels classes"], rgb: Float[Tensor, "*pixels 3"], palette: Float[Tensor, "classes 3"]
) -> Dict[str, Tensor]:
    """Outputs for viewer and files, all per pixel.

    Returns:
        `semantics_logits`, `semantics_confidence` (softmax probability of the chosen class), `semantics_overlay` (class
        color over the rendered color), `semantics_colormap` (class color).
    """
    colors = palette[logits.argmax(dim=-1)]
    return {
        LOGITS: logits,
        "semantics_confidence": logits.softmax(dim=-1).amax(dim=-1, keepdim=True),
        "semantics_overlay": torch.lerp(rgb, colors, OVERLAY_OPACITY),
        "semantics_colormap": colors,
    }


def pending_outputs(rgb: Float[Tensor, "*pixels 3"], num_classes: int) -> Dict[str, Tensor]:
    """The same outputs before there are labels: the view in pale grey, the plain color as overlay, no confidence."""
    grey = 0.5 + 0.4 * rgb.mean(dim=-1, keepdim=True)
    return {
        LOGITS: rgb.new_zeros(*rgb.shape[:-1], num_classes),
        "semantics_confidence": torch.zeros_like(grey),
        "semantics_overlay": rgb,
        "semantics_colormap": grey.expand(*grey.shape[:-1], 3).clone(),
    }


def displayable(logits: Float[Tensor, "height width classes"]) -> Float[Tensor, "height width channels"]:
    """Logits that nerfstudio's principal-component display can always show.

    It fails on fewer than four channels and where half of a view has the very same logits (a sky, or no labels yet).
    So there are at least four channels (the added ones hold the pixel's least logit), and the first three rise by a
    thousandth from one border of the view to the other. The first `classes` channels are the logits to three decimals.
    """
    missing = max(0, MIN_CHANNELS - logits.shape[-1])
    padded = torch.cat([logits, logits.amin(dim=-1, keepdim=True).expand(*logits.shape[:-1], missing)], dim=-1)
    across = torch.linspace(-1, 1, logits.shape[1]).to(logits).expand(logits.shape[:2])
    down = torch.linspace(-1, 1, logits.shape[0]).to(logits)[:, None].expand(logits.shape[:2])
    padded[..., :3] += TIE_BREAK * torch.stack([across, down, across * down], dim=-1)
    return padded
