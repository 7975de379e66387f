"""Pictures of views: rendered outputs and truth as 8-bit images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.utils import colormaps
from numpy import ndarray
from PIL import Image
from torch import Tensor

from nerfseg_ns.core.files import write_whole
from nerfseg_ns.labels.classes import IGNORE_INDEX

WRONG = (214, 39, 40)


def to_bytes(image: Float[Tensor, "height width 3"]) -> UInt8[ndarray, "height width 3"]:
    """A color image of 0 to 1, rounded to 8 bits."""
    return (image.detach().cpu().clamp(0.0, 1.0) * 255.0).round().byte().numpy()


def save_picture(path: Path, image: UInt8[ndarray, "height width 3"]) -> None:
    """Writes a PNG, whole or not at all."""
    write_whole(path, lambda beside: Image.fromarray(image).save(beside))


def error_picture(
    predicted: UInt8[ndarray, "height width"],
    truth: UInt8[ndarray, "height width"],
    photo: UInt8[ndarray, "height width 3"],
) -> UInt8[ndarray, "height width 3"]:
    """Wrong pixels in red over the photo in pale grey."""
    grey = 128 + photo.mean(axis=-1, keepdims=True).repeat(3, axis=-1) / 2
    wrong = (predicted != truth) & (truth != IGNORE_INDEX)
    return np.where(wrong[..., None], np.array(WRONG), grey).astype(np.uint8)


def confidence_picture(confidence: Float[Tensor, "height width 1"]) -> UInt8[ndarray, "height width 3"]:
    """Softmax probability of the chosen class, 0 (dark) to 1 (bright)."""
    return to_bytes(colormaps.apply_float_colormap(confidence.cpu(), "viridis"))


def depth_picture(
    depth: Float[Tensor, "height width 1"],
    accumulation: Float[Tensor, "height width 1"],
    truth: Float[ndarray, "height width"],
) -> UInt8[ndarray, "height width 3"]:
    """Rendered depth over the range of the true one, near dark and far bright; white where there is nothing."""
    known = truth[np.isfinite(truth)]
    near, far = np.quantile(known, [0.01, 0.99]) if known.size else (0.0, 1.0)
    share = ((depth.cpu() - near) / max(far - near, 1e-6)).clamp(0.0, 1.0)
    return to_bytes(torch.lerp(torch.ones(3), colormaps.apply_float_colormap(share, "cividis"), accumulation.cpu()))
