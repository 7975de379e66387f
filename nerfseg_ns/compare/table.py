"""compare.md and compare.csv: the scores as tables."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import Callable, List, Optional

from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.results import CLASS_PREFIX, UNLABELLED, Comparison, Line, Spread
from nerfseg_ns.measurement.markdown import markdown_table
from nerfseg_ns.measurement.units import amount, counted

NONE = "–"
KEYS = ("scene", "method", "color", "seed", "labels", "labelled")
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
    score: str
    write: Callable[[float], str] = percent
    best: Optional[Callable] = max
    """`max`, `min`, or None where no value is better than another."""
    deviation: bool = False
    """Show the standard deviation too."""
    scene: Optional[str] = None
    """Of that one alone."""
    labels: Optional[int] = None
    """Numbers of labels, if not the largest."""

    def cells(self, comparison: Comparison) -> List[str]:
        """The texts; the best is bold, of methods that are given no truth and lines that are complete."""
        spreads = {line: comparison.spread(line, self.score, self.scene, self.labels) for line in comparison.lines}
        fair = {
            line: spread.mean
            for line, spread in spreads.items()
            if spread is not None and comparison.is_complete(line) and METHODS[line[0]].extra != "truth"
        }
        best = self.best(fair.values()) if self.best is not None and len(fair) > 1 else None
        texts = {line: NONE if spread is None else self._text(spread) for line, spread in spreads.items()}
        return [f"**{text}**" if best is not None and fair.get(line) == best else text for line, text in texts.items()]

    def _text(self, spread: Spread) -> str:
        text = self.write(spread.mean)
        return f"{text} ± {self.write(spread.deviation)}" if self.deviation and spread.deviation is not None else text


OTHERS = [
    Column("total accuracy", "total_accuracy"),
    Column("average accuracy", "average_accuracy"),
    Column("calibration error", "calibration_error", best=min),
    Column("mIoU, confident 80 %", "confident_miou"),
    Column("mIoU, unlabelled photos", "propagated_miou"),
    Column("accuracy, unlabelled photos", "propagated_accuracy"),
    Column("training", "train_seconds", seconds, None),
    Column("a view", "predict_seconds", seconds, None),
    Column("peak memory", "memory_bytes", megabytes, None),
]


def tables(comparison: Comparison, how: str) -> str:
    """All tables in Markdown.

    Args:
        comparison: what the jobs found.
        how: it was made, a paragraph.
    """
    miou = [Column(scene, "miou", deviation=True, scene=scene) for scene in comparison.scenes]
    if len(miou) > 1:
        miou.append(Column("all", "miou", deviation=True))
    counts = [Column(comparison.labelled(n), "miou", deviation=True, labels=n) for n in comparison.labels]
    classes = [Column(name, CLASS_PREFIX + name) for name in comparison.classes]
    blocks = ["# nerfseg compare", _preface(comparison), "## mIoU, per cent", _table(comparison, miou)]
    if len(counts) > 1:
        blocks += ["## mIoU by the number of labelled photos, per cent", _table(comparison, counts)]
    blocks += ["## Other scores", _table(comparison, OTHERS), _notes(comparison)]
    blocks += ["## IoU of each class, per cent", _table(comparison, classes)]
    return "\n\n".join([*blocks, "## How it was made", how]) + "\n"


def values(comparison: Comparison) -> str:
    """Every row as comma-separated values, scores as fractions."""
    names = dict.fromkeys(name for row in comparison.rows for name in row.scores)
    text = StringIO()
    writer = csv.DictWriter(text, [*KEYS, *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**{key: getattr(row, key) for key in KEYS}, **row.scores} for row in comparison.rows)
    return text.getvalue()


def _table(comparison: Comparison, columns: List[Column]) -> str:
    """Methods and colors as lines, some scores as columns."""
    names = [METHODS[method].title + _mark(comparison, (method, color)) for method, color in comparison.lines]
    colors = [color for _, color in comparison.lines]
    cells = [(column.title, column.cells(comparison)) for column in columns]
    known = [("method", names), ("color", colors), *(column for column in cells if set(column[1]) != {NONE})]
    return markdown_table([title for title, _ in known], list(zip(*(texts for _, texts in known))), left=2)


def _mark(comparison: Comparison, line: Line) -> str:
    complete = all(comparison.is_complete(line, count) for count in comparison.labels)
    return "" if complete else " (*)"


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
