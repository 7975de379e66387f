"""bench.md: the figures as tables, with those of another bench beside them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from nerfseg_ns.bench.folder import Results
from nerfseg_ns.bench.formatting import FIGURES, SERIES, VARIANTS, figure_name
from nerfseg_ns.bench.variants import YARDSTICK
from nerfseg_ns.measurement.machine import describe_machine
from nerfseg_ns.measurement.markdown import markdown_table
from nerfseg_ns.measurement.timing import Measured
from nerfseg_ns.measurement.units import amount, digits

NONE = "–"
TIMES = {
    "stage1": "stage 1",
    "stage1_to_depth_goal": "depth error below 1 %",
    "stage2": "stage 2",
    "stage2_to_90": "to 90 % of its mIoU",
    "stage2_to_99": "to 99 %",
    "new_labels_to_90": "new labels, read and learnt to 90 %",
}


def tables(results: Results, before: Optional[Results] = None) -> str:
    """All tables in Markdown.

    Args:
        results: of this bench.
        before: of another one, which stands beside it.
    """
    blocks = ["# nerfseg bench", _preface(results, before)]
    if "methods" in results:
        blocks += ["## Methods", _methods_table(results, before), _methods_notes(results)]
    if "growth" in results:
        blocks.append("## Growth of nerfseg-fast\n\n" + _growth_preface(results, before))
        blocks += [_growth_table(results, before, series) for series, points in results["growth"].items() if points]
    if "quality" in results:
        blocks += ["## Time to quality", _quality_table(results, before), _quality_notes()]
    return "\n\n".join(blocks) + "\n"


def measured_at(results: Optional[Results], figure: str, variant: str) -> Optional[Measured]:
    """A figure of the methods part, if it was measured."""
    content = ((results or {}).get("methods") or {}).get("figures", {}).get(figure, {}).get(variant)
    return None if content is None else Measured.of(content)


def point_at(results: Optional[Results], series: str, x: float, figure: str) -> Optional[Measured]:
    """A figure of the growth part, if it was measured."""
    for point in ((results or {}).get("growth") or {}).get(series, []):
        if point["x"] == x and figure in point["figures"]:
            return Measured.of(point["figures"][figure])
    return None


def _preface(results: Results, before: Optional[Results]) -> str:
    lines = [f"Measured on {describe_machine(results['machine'])}, in {results.get('seconds', 0) / 60:.0f} minutes."]
    if before is not None:
        lines.append(f"`Before`: another bench, on {describe_machine(before['machine'])}.")
    if results["config"]["quick"]:
        lines.append("**Of tiny sizes (`--quick`): the figures mean nothing.**")
    return " ".join(lines)


def _methods_table(results: Results, before: Optional[Results]) -> str:
    header = ["", "", "median", "range", f"{YARDSTICK} takes", *_before_header(before)]
    rows = []
    for figure in FIGURES:
        for variant in results["methods"]["figures"].get(figure, {}):
            measured = measured_at(results, figure, variant)
            name = figure_name(figure, results["config"]) if not rows or rows[-1][-1] != figure else ""
            cells = [name, VARIANTS.get(variant, ""), amount(measured.median, measured.unit), _range(measured)]
            cells.append(_against_yardstick(results, figure, variant, measured))
            rows.append([*cells, *_before(measured, measured_at(before, figure, variant), before), figure])
    return markdown_table(header, [row[:-1] for row in rows])


def _against_yardstick(results: Results, figure: str, variant: str, measured: Measured) -> str:
    yardstick = measured_at(results, figure, YARDSTICK)
    if yardstick is None or variant == YARDSTICK:
        return NONE
    ratio, least, greatest = yardstick.times(measured)
    several = len(measured.rounds) > 1 and len(yardstick.rounds) > 1
    return f"{digits(ratio)} x" + (f" ({digits(least)} to {digits(greatest)})" if several else "")


def _range(measured: Measured) -> str:
    if len(measured.values) == 1:
        return "once"
    low, high = (amount(value, measured.unit) for value in measured.range)
    return f"{low} to {high}"


def _before_header(before: Optional[Results]) -> List[str]:
    return [] if before is None else ["before", "before / now"]


def _before(now: Measured, then: Optional[Measured], before: Optional[Results]) -> List[str]:
    if before is None:
        return []
    return [NONE, NONE] if then is None else [amount(then.median, then.unit), f"{digits(then.median / now.median)} x"]


def _methods_notes(results: Results) -> str:
    methods, config = results["methods"], results["config"]
    notes = [
        f"{config['rays']:,} rays a step. `paper takes`: ratio of the medians, in brackets the least and the greatest "
        f"where there were several rounds ({config['rounds']} here), in each of which all took turns.",
        "Import, start-up and memory are those of processes of their own.",
        "`paper`: the computation of the paper, every sample through every head, nothing kept; the frozen part "
        "without gradients. `nerfseg-fast, plain`: nerfseg-fast with nothing left out and nothing kept.",
        *(_map_note(results, variant) for variant in methods["figures"]["map"]),
        *(_origin_note(method, origin, methods["geometry"]) for method, origin in results["trained"].items()),
        *(
            f"{method}: {100 * share:.2f} % of the map's labels are those of the same weights with nothing left out."
            for method, share in methods["agreement"].items()
        ),
        *(_labels_note(method, facts) for method, facts in methods["geometry"].items()),
    ]
    return "\n".join(f"- {note}" for note in notes if note)


def _map_note(results: Results, variant: str) -> str:
    share, pixels = measured_at(results, "map", variant).timed_share, results["config"]["map_size"] ** 2
    if share == 1.0:
        return ""
    return f"{variant}: {round(share * pixels):,} pixels of the map were timed, spread over all of it, and scaled up."


def _origin_note(method: str, origin: str, geometry: Dict[str, Dict[str, float]]) -> str:
    heavy = geometry.get(method, {}).get("heavy_samples")
    known = "" if heavy is None else f"; on average {digits(heavy)} samples of a ray weigh more than 0.01 in it"
    return f"{method} was measured on a run {origin}{known}. What it leaves out depends on that."


def _labels_note(method: str, facts: Dict[str, float]) -> str:
    note = f"The scene of {method} has {facts['labels']:,} labelled pixels"
    if not facts["kept_bytes"]:
        return note + "."
    return f"{note}; their frozen geometry, kept ready, takes {amount(facts['kept_bytes'], 'bytes')}."


def _growth_preface(results: Results, before: Optional[Results]) -> str:
    medians = "Medians" if before is None else "Medians, in brackets before"
    rays = f"{results['config']['rays']:,} rays a step but where they grow"
    maps = "A quarter of each map was timed and scaled up; with photo width, all of a map of that width"
    return f"{medians}; {rays}. The first step of stage 2 readies the labelled rays. {maps}."


def _growth_table(results: Results, before: Optional[Results], series: str) -> str:
    points = results["growth"][series]
    figures = [figure for figure in FIGURES if any(figure in point["figures"] for point in points)]
    names = [
        figure_name(figure, results["config"]) if series != "image_size" else FIGURES[figure] for figure in figures
    ]
    rows = [
        [f"{point['x']:,}", *(_now_and_before(results, before, series, point["x"], figure) for figure in figures)]
        for point in points
    ]
    title = "Largest scene" if series == "largest" else f"With {SERIES[series]}"
    return f"### {title}\n\n{markdown_table([SERIES[series], *names], rows)}"


def _now_and_before(results: Results, before: Optional[Results], series: str, x: float, figure: str) -> str:
    """The median, and in brackets that of the other bench."""
    texts = [
        NONE if measured is None else amount(measured.median, measured.unit)
        for measured in (point_at(result, series, x, figure) for result in (results, before))
    ]
    return texts[0] if before is None else f"{texts[0]} ({texts[1]})"


def _quality_table(results: Results, before: Optional[Results]) -> str:
    header = ["", "seed", "mIoU", "observed color", *TIMES.values()]
    rows = []
    for training in results["quality"]:
        rows.append(_quality_row(training, training["variant"]))
        then = [t for t in (before or {}).get("quality", []) if _key(t) == _key(training)]
        rows += [_quality_row(t, "before") for t in then]
    return markdown_table(header, rows)


def _key(training: Dict[str, Any]) -> tuple:
    return training["variant"], training["seed"]


def _quality_row(training: Dict[str, Any], name: str) -> List[str]:
    scores = [
        f"{training['scores'][key]:.3f}" if key in training["scores"] else NONE for key in ("miou", "observed/miou")
    ]
    values = [training["times"].get(key) for key in TIMES]
    times = [NONE if value is None else amount(value, "s") for value in values]
    return [name, str(training["seed"]), *scores, *times]


def _quality_notes() -> str:
    return (
        "- Training time of each stage, from the stage's first step; the clock stands while the test views are scored. "
        "A time is that of the first score which reached the goal, up to 8 % too late.\n"
        "- Shares of the mIoU are of its last value on the same pixels: every second of the test views both ways, "
        "every eighth for paper and nerfseg, whose mIoU is that of these pixels on a CPU.\n"
        "- New labels: those of all photos read from their files again in the running process, as at the press of the "
        "viewer's button, and stage 2 begun anew."
    )
