"""Looks of the figures."""

from __future__ import annotations

from matplotlib.axes import Axes

INK, SOFT, GRID = "#1c2430", "#5d6878", "#e1e5ea"
"""Colors of text, of text that stands back, and of lines."""


def tidy(axes: Axes, grid: str) -> None:
    """Quiet axes: a pale grid behind, no frame above and on the right.

    Args:
        axes: to tidy.
        grid: whose lines are drawn: `x`, `y` or `both`.
    """
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
