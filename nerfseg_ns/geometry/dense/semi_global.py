"""Semi-global matching (Hirschmueller, PAMI 2008): the level of each pixel, smooth but for steps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

STEP, JUMP = 0.03, 0.3
"""Costs of a change by one level and by more, between pixels side by side; a cost of 1 is no likeness at all."""


def aggregate(costs: Float[np.ndarray, "levels height width"]) -> Float[np.ndarray, "height width levels"]:
    """Adds to each pixel's costs what neighbours say of them, along the rows and the columns, both ways."""
    by_row = np.ascontiguousarray(costs.transpose(1, 2, 0))
    total = np.zeros_like(by_row)
    for axes in ((0, 1, 2), (1, 0, 2)):
        own, sums = by_row.transpose(axes), total.transpose(axes)
        _add_path(own, sums)
        _add_path(own[::-1], sums[::-1])
    return total


def _add_path(costs: Float[np.ndarray, "length paths levels"], total: Float[np.ndarray, "length paths levels"]) -> None:
    """Follows paths along the first axis."""
    before = costs[0].copy()
    total[0] += before
    padded = np.full((costs.shape[1], costs.shape[2] + 2), np.float32(np.inf))
    for position in range(1, len(costs)):
        least = before.min(axis=1, keepdims=True)
        padded[:, 1:-1] = before
        stepped = np.minimum(padded[:, :-2], padded[:, 2:])
        stepped += STEP
        np.minimum(stepped, before, out=stepped)
        np.minimum(stepped, least + JUMP, out=stepped)
        stepped -= least
        stepped += costs[position]
        total[position] += stepped
        before = stepped


def best_level(
    total: Float[np.ndarray, "height width levels"],
) -> tuple[Float[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """The cheapest level, between levels by a parabola, and where it is neither the first nor the last."""
    levels = total.shape[2]
    best = total.argmin(axis=2)
    inner = (best > 0) & (best < levels - 1)
    middle = best.clip(1, levels - 2)[..., None]
    below, here, above = (np.take_along_axis(total, middle + offset, axis=2)[..., 0] for offset in (-1, 0, 1))
    shift = (below - above) / np.maximum(2 * (below - 2 * here + above), 1e-6)
    return best + np.where(inner, shift.clip(-0.5, 0.5), 0), inner
