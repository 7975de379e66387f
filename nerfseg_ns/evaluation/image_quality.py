"""How well a rendered image matches a photo.

torchmetrics is imported late: it takes most of a second, which every ns-* command would pay.
"""

from typing import Dict

import torch
from jaxtyping import Float
from torch import Tensor


def psnr(rendered: Float[Tensor, "*batch 3"], photo: Float[Tensor, "*batch 3"]) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio in decibels of colors in [0, 1]."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return peak_signal_noise_ratio(rendered, photo, data_range=1.0)


@torch.no_grad()
def image_quality(
    rendered: Float[Tensor, "height width 3"], photo: Float[Tensor, "height width 3"]
) -> Dict[str, float]:
    """`psnr` in decibels and `ssim` of a rendered view."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    pair = [image.permute(2, 0, 1)[None] for image in (rendered, photo)]
    return {
        "psnr": float(psnr(rendered, photo)),
        "ssim": float(structural_similarity_index_measure(*pair, data_range=1.0)),
    }
