"""The panels of the figure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nerfseg_ns.bench.folder import Results
from nerfseg_ns.bench.formatting import SERIES, VARIANTS, figure_name
from nerfseg_ns.bench.table import measured_at, point_at
from nerfseg_ns.bench.variants import YARDSTICK
from nerfseg_ns.measurement.units import amount, digits
from nerfseg_ns.pictures.axes import INK, SOFT, tidy

COLORS = {"paper": "#8a929e", "nerfseg": "#1f5fa8", "nerfseg-fast": "#c8453c", "nerfseg-fast-plain": "#e3a08f"}
TIMES = {
    "stage1_step": ("stage 1, a step", "#1f5fa8"),
    "stage2_step": ("stage 2, a step", "#c8453c"),
    "stage2_first": ("stage 2, first step", "#c99a2e"),
    "map": ("label map", "#2f8f6b"),
    "start_up": ("start-up", "#8a929e"),
}
"""Name in the legend and color of what grows."""
MEMORY = {
    "memory_start_up": ("start-up", "#8a929e"),
    "memory_stage1": ("stage 1", "#1f5fa8"),
    "memory_stage2": ("stage 2", "#c8453c"),
    "memory_map": ("label map", "#2f8f6b"),
}
GIGABYTE = 1e9
PALE = 0.35

Row = Tuple[str, str]
"""A figure and a variant."""


def time_bars(axes: Axes, results: Results, before: Optional[Results], figure: str) -> None:
    """A bar a variant on a logarithmic axis, with how many times faster it is than the yardstick."""
    rows = [(figure, variant) for variant in VARIANTS if measured_at(results, figure, variant)]
    for index, (_, variant) in enumerate(rows):
        now, then = measured_at(results, figure, variant), measured_at(before, figure, variant)
        axes.barh(index, now.median, 0.38 if before else 0.62, color=COLORS[variant])
        axes.plot(now.range, [index, index], color=INK, linewidth=1.2, solid_capstyle="butt")
        axes.text(now.range[1], index, "  " + _bar_text(results, figure, variant), va="center", fontsize=8.5)
        if then:
            axes.barh(index + 0.36, then.median, 0.26, color=COLORS[variant], alpha=PALE)
            text = "  " + amount(then.median, then.unit)
            axes.text(then.median, index + 0.38, text, va="center", fontsize=7.5, color=SOFT)
    axes.set_xscale("log")
    values = _values(results, before, rows)
    least, greatest = min(values), max(values)
    axes.set_xlim(least / 3, greatest * (greatest / least * 9) ** 0.6)
    _time_axis(axes.xaxis)
    _name_bars(axes, [VARIANTS[variant] for _, variant in rows])
    scaled = any(measured_at(results, *row).timed_share < 1.0 for row in rows)
    axes.set_title(figure_name(figure, results["config"]) + (" (*: a share timed)" if scaled else ""), **_TITLE)


def memory_bars(axes: Axes, results: Results, before: Optional[Results]) -> None:
    """Peak memory of each variant by stage; a tick where it was before."""
    rows = [(figure, v) for figure in MEMORY for v in VARIANTS if measured_at(results, figure, v)]
    for index, (figure, variant) in enumerate(rows):
        now, then = measured_at(results, figure, variant), measured_at(before, figure, variant)
        axes.barh(index, now.median / GIGABYTE, 0.7, color=COLORS[variant])
        if then:
            axes.plot(then.median / GIGABYTE, index, "|", color=INK, markersize=9, markeredgewidth=2)
        most = max(now.median, then.median if then else 0.0) / GIGABYTE
        axes.text(most, index, "  " + amount(now.median, "bytes"), va="center", fontsize=7.5, color=INK)
    axes.set_xlim(0, 1.2 * max(_values(results, before, rows)) / GIGABYTE)
    axes.set_xlabel("GB", color=SOFT)
    _name_bars(axes, [f"{VARIANTS[variant]}, {MEMORY[figure][0]}" for figure, variant in rows])
    axes.set_title("Peak memory" + (" (ticks: before)" if before else ""), **_TITLE)


_TITLE: Dict[str, Any] = dict(loc="left", fontsize=11, weight="bold", color=INK)


def _values(results: Results, before: Optional[Results], rows: Sequence[Row]) -> List[float]:
    """All that the bars have to make room for."""
    found = [measured_at(result, *row) for result in (results, before) for row in rows]
    return [value for measured in found if measured for value in measured.range]


def _bar_text(results: Results, figure: str, variant: str) -> str:
    measured, yardstick = measured_at(results, figure, variant), measured_at(results, figure, YARDSTICK)
    text = amount(measured.median, measured.unit) + ("*" if measured.timed_share < 1.0 else "")
    if yardstick is None or variant == YARDSTICK or yardstick.median < 1.1 * measured.median:
        return text
    return f"{text}   {digits(yardstick.median / measured.median)} x faster"


def _name_bars(axes: Axes, names: List[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    tidy(axes, "x")


def growth_lines(axes: Axes, results: Results, before: Optional[Results], series: str) -> None:
    """Seconds of a step of each stage and of a map over what grows."""
    for figure, (label, color) in TIMES.items():
        _line(axes, before, series, figure, 1.0, color, dict(linestyle="--", marker="o", alpha=0.5))
        _line(axes, results, series, figure, 1.0, color, dict(marker="o", label=label))
    axes.set_yscale("log")
    _time_axis(axes.yaxis)
    _name_values(axes, results, series)
    axes.set_title(f"Time with {SERIES[series].partition(',')[0]}", **_TITLE)


def memory_lines(axes: Axes, results: Results, before: Optional[Results], series: str) -> None:
    """Peak memory by stage over what grows; the largest scene as stars beside the image sizes."""
    for figure, (label, color) in MEMORY.items():
        _line(axes, before, series, figure, GIGABYTE, color, dict(linestyle="--", marker="o", alpha=0.5))
        _line(axes, results, series, figure, GIGABYTE, color, dict(marker="o", label=label))
        if series == "image_size":
            _line(axes, before, "largest", figure, GIGABYTE, color, dict(marker="*", alpha=0.4))
            _line(axes, results, "largest", figure, GIGABYTE, color, dict(marker="*"))
    axes.set_ylim(bottom=0, top=1.25 * axes.get_ylim()[1])
    axes.set_ylabel("GB", color=SOFT)
    _name_values(axes, results, series)
    stars = series == "image_size" and _points(results, "largest")
    title = f"Peak memory with {SERIES[series].partition(',')[0]}"
    axes.set_title(f"{title} (star: {max(results['config']['series']['views'])} photos)" if stars else title, **_TITLE)
    axes.legend(fontsize=8, frameon=False, loc="upper left", ncols=len(MEMORY))


def _line(
    axes: Axes, results: Optional[Results], series: str, figure: str, scale: float, color: str, style: Dict[str, Any]
) -> None:
    """Medians of a series with the range of the repeats, if there are any."""
    points = [(point["x"], point_at(results, series, point["x"], figure)) for point in _points(results, series)]
    points = [(x, measured) for x, measured in points if measured is not None]
    if not points:
        return
    xs = [x for x, _ in points]
    medians = np.array([measured.median for _, measured in points]) / scale
    low, high = (np.array(ends) / scale for ends in zip(*(measured.range for _, measured in points)))
    axes.plot(xs, medians, color=color, markersize=11 if style["marker"] == "*" else 4, **style)
    if "label" in style:
        axes.fill_between(xs, low, high, color=color, alpha=0.15, linewidth=0)


def _points(results: Optional[Results], series: str) -> list:
    return ((results or {}).get("growth") or {}).get(series, [])


def quality_lines(axes: Axes, results: Results, before: Optional[Results], stage: str) -> None:
    """Depth error in stage 1, or mIoU in stage 2, over the training time of the stage."""
    for result, style in ((before, dict(linestyle="--", alpha=0.5)), (results, {})):
        for training in (result or {}).get("quality", []):
            marks, factor = training["stages"][stage], 100.0 if stage == "implicit" else 1.0
            axes.plot(
                [mark["seconds"] for mark in marks],
                [factor * mark["score"] for mark in marks],
                marker=".",
                color=COLORS[training["variant"]],
                label=("before: " if style else "") + _quality_label(training, stage),
                **style,
            )
    axes.set_xlabel("training time of the stage, s", color=SOFT)
    axes.set_xlim(left=0)
    if stage == "implicit":
        _depth_axis(axes)
    else:
        axes.set_ylim(bottom=0)
        axes.set_ylabel("mIoU of the test views", color=SOFT)
    axes.set_title({"implicit": "Stage 1: depth", "semantic": "Stage 2: labels"}[stage], **_TITLE)
    axes.legend(fontsize=8.5, frameon=False)
    tidy(axes, "both")


def _quality_label(training: Dict[str, Any], stage: str) -> str:
    name = f"{training['variant']}, seed {training['seed']}"
    goals = {"implicit": ("stage1_to_depth_goal", "below 1 %"), "semantic": ("stage2_to_99", "99 % of its last mIoU")}
    key, goal = goals[stage]
    seconds = training["times"][key]
    return f"{name}: not {goal}" if seconds is None else f"{name}: {goal} after {digits(seconds)} s"


def _depth_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.axhline(1.0, color=SOFT, linewidth=1, linestyle=":")
    axes.set_ylabel("median depth error, %", color=SOFT)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _name_values(axes: Axes, results: Results, series: str) -> None:
    """Ticks at the values that were measured."""
    values = [point["x"] for point in _points(results, series)]
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(SERIES[series], color=SOFT)
    tidy(axes, "both")


def _time_axis(axis: Axis) -> None:
    """Seconds on a logarithmic axis, with names at 1, 2 and 5 where there is room for them."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 30 else (1,), numticks=5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.set_minor_locator(NullLocator())


def _short(seconds: float) -> str:
    """A time on an axis."""
    return f"{1e3 * seconds:g} ms" if seconds < 1 else f"{seconds:,.6g} s"
