"""compare.png: mIoU of every method, and over the number of labelled photos where several were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.results import Comparison, Line, Spread
from nerfseg_ns.compare.table import percent
from nerfseg_ns.measurement.units import counted
from nerfseg_ns.pictures.axes import INK, SOFT, tidy

COLORS = {"rendered": "#1f5fa8", "observed": "#d98c1f"}
NAMES = {"rendered": "rendered color: no photo of the view", "observed": "observed color: the view's photo"}
MARKERS = "osD^vP*XhdpH"
BAR, GAP = 0.8, 0.5
"""Height of a bar and room between two methods, in units of the axis."""
INCHES_PER_BAR, HEAD, WIDTH, LINES_HEIGHT = 0.27, 1.3, 9.0, 5.2
PALE = 0.35
_LEGEND: Dict[str, Any] = dict(fontsize=8.5, frameon=False)


def draw(comparison: Comparison, path: Path) -> None:
    """Draws the figure.

    Args:
        comparison: what the jobs found.
        path: to write, a PNG.
    """
    places = _places(comparison.lines)
    several = len(comparison.labels) > 1
    heights = [INCHES_PER_BAR * (max(places.values()) + 2) + HEAD, *([LINES_HEIGHT] if several else [])]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.12, w_pad=0.12)
    panels = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _bars(panels[0].subplots(), comparison, places)
    _head(panels[0], comparison)
    if several:
        _lines(panels[1].subplots(), comparison)
    figure.savefig(path)


def _places(lines: List[Line]) -> Dict[Line, float]:
    """Where each bar lies: those of a method together."""
    places, place, last = {}, 0.0, None
    for line in lines:
        if last is not None:
            place += BAR if line[0] == last else BAR + GAP
        places[line], last = place, line[0]
    return places


def _bars(axes: Axes, comparison: Comparison, places: Dict[Line, float]) -> None:
    """A bar for each method and color, with the standard deviation and a dot for every single value."""
    spreads = {line: comparison.spread(line, "miou") for line in places}
    spreads = {line: spread for line, spread in spreads.items() if spread is not None}
    top = 100 * max(max(spread.values) for spread in spreads.values())
    for line, spread in spreads.items():
        _bar(axes, line, places[line], spread, top)
    middles: Dict[str, List[float]] = {}
    for (method, _), place in places.items():
        middles.setdefault(METHODS[method].title, []).append(place)
    axes.set_yticks([sum(found) / len(found) for found in middles.values()], list(middles))
    axes.set_xlim(0, 1.16 * top)
    axes.set_ylim(max(places.values()) + 0.8, -0.8)
    tidy(axes, "x")
    axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=INK)
    axes.set_xlabel(f"mIoU of {comparison.scored}, per cent", color=SOFT)


def _head(panel: SubFigure, comparison: Comparison) -> None:
    """Title above the bars and legend below."""
    used = {color for _, color in comparison.lines}
    handles = [Patch(color=COLORS[color], label=NAMES[color]) for color in COLORS if color in used]
    if len(comparison.scenes) * comparison.repeats > 1:
        handles.append(Line2D([], [], color=INK, marker="o", markersize=3, label="standard deviation, single values"))
    panel.suptitle(_title(comparison), x=0.012, ha="left", fontsize=12, weight="bold", color=INK)
    panel.legend(handles=handles, loc="outside lower left", ncols=3, **_LEGEND)


def _bar(axes: Axes, line: Line, place: float, spread: Spread, top: float) -> None:
    method, color = line
    alpha = PALE if METHODS[method].extra == "truth" else 1.0
    axes.barh(place, 100 * spread.mean, 0.88 * BAR, color=COLORS[color], alpha=alpha)
    if spread.deviation is not None:
        axes.errorbar(100 * spread.mean, place, xerr=100 * spread.deviation, color=INK, linewidth=1.2, capsize=2.5)
        axes.plot(
            [100 * value for value in spread.values], [place] * len(spread.values), "o", color=INK, markersize=2.5
        )
    ends = [spread.mean + (spread.deviation or 0.0), *spread.values]
    axes.text(100 * max(ends) + 0.02 * top, place, percent(spread.mean), va="center", fontsize=8.5, color=INK)


def _lines(axes: Axes, comparison: Comparison) -> None:
    """mIoU over the number of labelled photos; the numbers stand at equal distances."""
    methods = list(dict.fromkeys(method for method, _ in comparison.lines))
    palette = mpl.colormaps["tab20"].colors[::2] + mpl.colormaps["tab20"].colors[1::2]
    for method, color in comparison.lines:
        spreads = [comparison.spread((method, color), "miou", labels=count) for count in comparison.labels]
        points = [(place, spread) for place, spread in enumerate(spreads) if spread is not None]
        index = methods.index(method)
        axes.errorbar(
            [place for place, _ in points],
            [100 * spread.mean for _, spread in points],
            yerr=[100 * (spread.deviation or 0.0) for _, spread in points],
            color=palette[index % len(palette)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
            elinewidth=0.7,
            linestyle="--" if color == "observed" else "-",
            label=f"{METHODS[method].title}, {color}",
        )
    axes.set_xticks(range(len(comparison.labels)), [comparison.labelled(count) for count in comparison.labels])
    axes.set_xlabel("labelled training photos", color=SOFT)
    axes.set_ylabel(f"mIoU of {comparison.scored}, per cent", color=SOFT)
    axes.set_title("mIoU by the number of labelled photos", loc="left", fontsize=12, weight="bold", color=INK)
    handles, labels = axes.get_legend_handles_labels()
    highest = sorted(zip(handles, labels), key=lambda entry: -entry[0].lines[0].get_ydata()[-1])  # as they end
    axes.legend(*zip(*highest), loc="upper left", bbox_to_anchor=(1.01, 1.0), **_LEGEND)
    tidy(axes, "both")


def _title(comparison: Comparison) -> str:
    scenes, seeds = len(comparison.scenes), comparison.repeats
    of = comparison.scenes[0] if scenes == 1 else counted(scenes, "scene")
    words = f"nerfseg compare: {of}, {comparison.labelled(comparison.reference)} labelled photos"
    return words if seeds == 1 else f"{words}, {counted(seeds, 'seed')}"
