"""Class probabilities of a whole photo, whatever its size."""

from __future__ import annotations

from typing import Tuple

import torch
from jaxtyping import Float, UInt8
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

MIDDLE, SPREAD = 0.5, 0.25
"""Of colors, as `normalise` scales them."""
OVERLAP = 0.25
"""Of neighbouring windows, as a fraction of their sides."""


def normalise(images: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Colors as the networks take them, -2 to 2."""
    return (images.float() / 255 - MIDDLE) / SPREAD


@torch.no_grad()
def probabilities(
    network: nn.Module, image: UInt8[Tensor, "3 height width"], window: Tuple[int, int]
) -> Float[Tensor, "classes height width"]:
    """Class probabilities of a photo, the mean of those of the photo and of its mirror image.

    Large photos are seen through windows of the size that the network was trained at, blended where they overlap: so
    the context is what the network knows, and memory does not grow with the photo.

    Args:
        network: gives logits of its input's size; it is left in evaluation mode.
        image: the photo.
        window: height and width.
    """
    network.eval()
    return sliding_window_inference(
        normalise(image[None]),
        window,
        sw_batch_size=1,
        predictor=lambda crops: _mean_of_mirrored(network, crops),
        overlap=OVERLAP,
        mode="gaussian",
        padding_mode="replicate",
    )[0]


def _mean_of_mirrored(
    network: nn.Module, crops: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch classes height width"]:
    mirrored = network(crops.flip(-1)).softmax(dim=1).flip(-1)
    return (network(crops).softmax(dim=1) + mirrored) / 2
