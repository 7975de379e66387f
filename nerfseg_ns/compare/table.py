"""compare.md and compare.csv: the scores as tables."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import Callable, List, Optional

from nerfseg_ns.compare.formatting import counted
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.results import CLASS_PREFIX, UNLABELLED, Comparison, Line, Row, Spread
from nerfseg_ns.measurement.markdown import markdown_table
from nerfseg_ns.measurement.units import amount

NONE = "–"
COLORS = {
    "rendered": "`rendered`: given no photo of the view, as of a place that nobody photographed.",
    "observed": "`observed`: given the view's own photo.",
}


def percent(fraction: float) -> str:
    """A fraction in per cent."""
    return f"{100 * fraction:.1f}"


def seconds(value: float) -> str:
    """A time with its unit."""
    return amount(value, "s")


def megabytes(value: float) -> str:
    """Memory with its unit."""
    return amount(value, "bytes")


@dataclass
class Column:
    """A column of a table, a cell for each line."""

    title: str
    spread: Callable[[Line], Optional[Spread]]
    write: Callable[[float], str] = percent
    best: Optional[Callable] = max
    """`max`, `min`, or None where no value is better than another."""
    deviation: bool = False
    """Show the standard deviation too."""

    def cells(self, comparison: Comparison) -> List[str]:
        """The texts; the best is bold, of methods that are given no truth and lines that are complete."""
        spreads = [self.spread(line) for line in comparison.lines]
        fair = [
            spread.mean
            for line, spread in zip(comparison.lines, spreads)
            if spread is not None and comparison.is_complete(line) and METHODS[line[0]].extra != "truth"
        ]
        best = self.best(fair) if self.best is not None and len(fair) > 1 else None
        texts = []
        for line, spread in zip(comparison.lines, spreads):
            text = NONE if spread is None else self._text(spread)
            is_best = spread is not None and spread.mean == best and METHODS[line[0]].extra != "truth"
            texts.append(f"**{text}**" if is_best else text)
        return texts

    def _text(self, spread: Spread) -> str:
        text = self.write(spread.mean)
        return f"{text} ± {self.write(spread.deviation)}" if self.deviation and spread.deviation is not None else text


def tables(comparison: Comparison, how: str) -> str:
    """All tables in Markdown.

    Args:
        comparison: what the jobs found.
        how: it was made, a paragraph.
    """
    blocks = ["# nerfseg compare", _preface(comparison), "## mIoU, per cent", _table(comparison, _miou(comparison))]
    if len(comparison.labels) > 1:
        blocks += ["## mIoU by the number of labelled photos, per cent", _table(comparison, _by_labels(comparison))]
    blocks += ["## Other scores", _table(comparison, _others(comparison)), _notes(comparison)]
    blocks += ["## IoU of each class, per cent", _table(comparison, _classes(comparison))]
    return "\n\n".join([*blocks, "## How it was made", how]) + "\n"


def values(comparison: Comparison) -> str:
    """Every row as comma-separated values, scores as fractions."""
    names = list(dict.fromkeys(name for row in comparison.rows for name in row.scores))
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scene", "method", "color", "seed", "labels", "labelled", *names])
    for row in comparison.rows:
        writer.writerow([*_key(row), *(row.scores.get(name, "") for name in names)])
    return text.getvalue()


def _key(row: Row) -> tuple:
    return row.scene, row.method, row.color, row.seed, row.labels, row.labelled


def _table(comparison: Comparison, columns: List[Column]) -> str:
    """Methods and colors as lines, some scores as columns."""
    columns = [column for column in columns if any(column.spread(line) for line in comparison.lines)]
    names = [METHODS[method].title + _mark(comparison, (method, color)) for method, color in comparison.lines]
    colors = [color for _, color in comparison.lines]
    cells = [names, colors, *(column.cells(comparison) for column in columns)]
    return markdown_table(["method", "color", *(column.title for column in columns)], list(zip(*cells)), left=2)


def _mark(comparison: Comparison, line: Line) -> str:
    complete = all(comparison.is_complete(line, count) for count in comparison.labels)
    return "" if complete else " (*)"


def _miou(comparison: Comparison) -> List[Column]:
    def of_scene(scene: Optional[str]) -> Callable[[Line], Optional[Spread]]:
        return lambda line: comparison.spread(line, "miou", scene)

    columns = [Column(scene, of_scene(scene), deviation=True) for scene in comparison.scenes]
    return columns if len(columns) == 1 else [*columns, Column("all", of_scene(None), deviation=True)]


def _by_labels(comparison: Comparison) -> List[Column]:
    def of_count(count: int) -> Callable[[Line], Optional[Spread]]:
        return lambda line: comparison.spread(line, "miou", labels=count)

    return [Column(comparison.labelled(count), of_count(count), deviation=True) for count in comparison.labels]


def _others(comparison: Comparison) -> List[Column]:
    def of(score: str) -> Callable[[Line], Optional[Spread]]:
        return lambda line: comparison.spread(line, score)

    return [
        Column("total accuracy", of("total_accuracy")),
        Column("average accuracy", of("average_accuracy")),
        Column("calibration error", of("calibration_error"), best=min),
        Column("mIoU, confident 80 %", of("confident_miou")),
        Column("mIoU, unlabelled photos", of("propagated_miou")),
        Column("accuracy, unlabelled photos", of("propagated_accuracy")),
        Column("training", of("train_seconds"), seconds, None),
        Column("a view", of("predict_seconds"), seconds, None),
        Column("peak memory", of("memory_bytes"), megabytes, None),
    ]


def _classes(comparison: Comparison) -> List[Column]:
    def of(name: str) -> Callable[[Line], Optional[Spread]]:
        return lambda line: comparison.spread(line, CLASS_PREFIX + name)

    return [Column(name, of(name)) for name in comparison.classes]


def _preface(comparison: Comparison) -> str:
    """What the figures are."""
    scenes, seeds = len(comparison.scenes), comparison.repeats
    words = [
        f"Scores on {comparison.scored} of {counted(scenes, 'scene')}, {comparison.labelled(comparison.reference)} "
        f"labelled photos each, {counted(seeds, 'seed')}.",
        "mIoU is the mean over the classes in the truth, from one confusion matrix over all their labelled pixels.",
    ]
    if comparison.scored == UNLABELLED:
        words.append("The scored photos are learnt from as all photos are, without their labels.")
    if scenes * seeds > 1:
        words.append("Mean ± standard deviation over scenes and seeds.")
    words += [text for color, text in COLORS.items() if any(found == color for _, found in comparison.lines)]
    if any(METHODS[method].extra == "truth" for method, _ in comparison.lines):
        words.append("Best in bold, but for methods that are given true labels.")
    if any(_mark(comparison, line) for line in comparison.lines):
        words.append("(*): not all of its jobs are finished; its figures are those of the others.")
    return " ".join(words)


def _notes(comparison: Comparison) -> str:
    notes = [
        "Per cent, but for times and memory. Average accuracy is the mean recall of the classes; the calibration error "
        "is the expected one (15 bins); confident 80 %: of the pixels that the method is surest of.",
        "Training includes the stage 1 that methods share, and the method whose maps a network is given. Peak memory "
        "is that of the method's own process.",
    ]
    if any("propagated_miou" in row.scores for row in comparison.rows):
        notes.insert(1, "Unlabelled photos: the training photos whose labels the method was not given.")
    return "\n".join(f"- {note}" for note in notes)
