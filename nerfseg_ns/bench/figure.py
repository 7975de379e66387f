"""bench.png: all figures at a glance, those of another bench in pale or dashed."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Optional, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from nerfseg_ns.bench.folder import Results
from nerfseg_ns.bench.panels import growth_lines, memory_bars, memory_lines, quality_lines, time_bars
from nerfseg_ns.measurement.machine import describe_machine

ROW_HEIGHT, WIDTH, HEAD = 3.3, 19.0, 0.8
"""Inches."""

Panel = Callable[[Axes], None]


def draw(results: Results, before: Optional[Results], path: Path) -> None:
    """Draws the figure.

    Args:
        results: of this bench.
        before: of another one, drawn with it.
        path: to write, a PNG.
    """
    rows = _rows(results, before)
    height = ROW_HEIGHT * len(rows) + HEAD
    figure = Figure(figsize=(WIDTH, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    head, *strips = figure.subfigures(1 + len(rows), height_ratios=[HEAD, *([ROW_HEIGHT] * len(rows))])
    for strip, row in zip(strips, rows):
        panels = strip.subplots(1, len(row), squeeze=False)[0]
        for axes, panel in zip(panels, row):
            panel(axes)
        if all(axes.get_legend() is None and axes.get_legend_handles_labels()[1] for axes in panels):
            _share_legend(strip, panels)
    head.text(0.008, 0.85, "nerfseg bench", va="top", fontsize=17, weight="bold")
    head.text(0.008, 0.38, _subtitle(results, before), va="top", fontsize=10, color="#5d6878")
    figure.savefig(path)


def _share_legend(strip: SubFigure, panels: Sequence[Axes]) -> None:
    """One legend for a row of panels with the same lines."""
    entries = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels())}
    strip.legend(
        entries.values(), entries.keys(), loc="outside upper right", ncols=len(entries), fontsize=8.5, frameon=False
    )


def _subtitle(results: Results, before: Optional[Results]) -> str:
    words = describe_machine(results["machine"])
    words += f".  {results['config']['rays']:,} rays a step."
    return words if before is None else f"{words}  Pale and dashed: before."


def _rows(results: Results, before: Optional[Results]) -> List[List[Panel]]:
    """The panels that there are figures for."""

    def panel(draw_panel: Callable, *arguments) -> Panel:
        return lambda axes: draw_panel(axes, results, before, *arguments)

    rows: List[List[Panel]] = []
    if "methods" in results:
        rows.append([panel(time_bars, figure) for figure in ("stage1_step", "stage2_step", "map", "start_up")])
    if "growth" in results:
        measured = [series for series, points in results["growth"].items() if points]
        times = [series for series in ("rays", "samples", "classes", "views", "image_size") if series in measured]
        rows.append([panel(growth_lines, series) for series in times])
        rows.append([panel(memory_lines, series) for series in ("views", "image_size") if series in measured])
    if "methods" in results:
        rows[-1].append(panel(memory_bars))
    if "quality" in results:
        rows.append([panel(quality_lines, "implicit"), panel(quality_lines, "semantic")])
    return [row for row in rows if row]
