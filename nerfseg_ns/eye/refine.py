"""Borders drawn to the photo's own edges: the guided filter (He, Sun, Tang, ECCV 2010), a color image its guide."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def guided_filter(
    values: Float[Tensor, "channels height width"],
    guide: Float[Tensor, "3 height width"],
    radius: int,
    epsilon: float,
) -> Float[Tensor, "channels height width"]:
    """Values that, within every window, are a linear function of the guide's color.

    Args:
        values: such as class probabilities.
        guide: colors 0 to 1.
        radius: pixels from a window's middle to its border.
        epsilon: variance of colors from which on a difference is an edge.
    """
    mean_guide, mean_values = window_mean(guide, radius), window_mean(values, radius)
    variance = _window_covariance(guide, guide, mean_guide, mean_guide, radius)
    covariance = _window_covariance(guide, values, mean_guide, mean_values, radius)
    ridge = epsilon * torch.eye(3, device=guide.device)
    slope = torch.linalg.solve(variance.permute(2, 3, 0, 1) + ridge, covariance.permute(2, 3, 0, 1))  # [h, w, 3, c]
    slope = slope.permute(2, 3, 0, 1)
    offset = mean_values - (slope * mean_guide[:, None]).sum(dim=0)
    slope = window_mean(slope.flatten(0, 1), radius).view_as(slope)
    return (slope * guide[:, None]).sum(dim=0) + window_mean(offset, radius)


def window_mean(values: Float[Tensor, "channels height width"], radius: int) -> Float[Tensor, "channels height width"]:
    """Mean over the square window around each pixel, as far as it lies in the image."""
    size, batch = 2 * radius + 1, values[None]
    batch = F.avg_pool2d(batch, (size, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(batch, (1, size), 1, (0, radius), count_include_pad=False)[0]


def _window_covariance(
    first: Float[Tensor, "a height width"],
    second: Float[Tensor, "b height width"],
    first_mean: Float[Tensor, "a height width"],
    second_mean: Float[Tensor, "b height width"],
    radius: int,
) -> Float[Tensor, "a b height width"]:
    products = first[:, None] * second
    return window_mean(products.flatten(0, 1), radius).view_as(products) - first_mean[:, None] * second_mean
