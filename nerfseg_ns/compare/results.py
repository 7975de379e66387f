"""What the finished jobs found, a row for each method, scene, seed, number of labels and color."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.folder import PROPAGATED, CompareFolder, Result
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.plan import PlannedJob

Line = Tuple[str, str]
"""Method and color: what has a line of its own in the tables."""
CLASS_PREFIX = "iou/"
HELD_OUT, UNLABELLED = "held-out views", "unlabelled photos"
"""What methods are scored on."""


@dataclass
class Row:
    """A method on a scene, told in one color."""

    scene: str
    method: str
    color: str
    seed: int
    labels: int
    """Labelled photos that were asked for; 0: all."""
    labelled: int
    """Labelled photos that it saw."""
    scores: Dict[str, float]
    """`miou`, `total_accuracy`, ... as fractions, `iou/NAME` of the classes in the truth, `propagated_miou` and
    `propagated_accuracy` of the unlabelled training photos; `train_seconds`, with what the method needs, and
    `predict_seconds` of a view; `memory_bytes` at the most."""

    @property
    def line(self) -> Line:
        """Its line in the tables."""
        return self.method, self.color


@dataclass
class Spread:
    """Mean and standard deviation of some values."""

    mean: float
    deviation: Optional[float]
    """None of a single value."""
    values: List[float]

    @classmethod
    def of(cls, values: Iterable[float]) -> Optional[Spread]:
        """None where there are no values."""
        values = list(values)
        if not values:
            return None
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, values)


class Comparison:
    """All rows of a comparison, to be looked up.

    Args:
        rows: in any order.
        methods: in the order of the tables.
        scenes: in the order of the tables.
        labels: numbers of labelled photos; 0: all. Those of which there is no row yet are left out.
        repeats: seeds of each.
        scored: what the scores are of, in words.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        methods: Sequence[str],
        scenes: Sequence[str],
        labels: Sequence[int],
        repeats: int,
        scored: str = HELD_OUT,
    ) -> None:
        self.rows, self.scenes, self.repeats, self.scored = list(rows), list(scenes), repeats, scored
        known = {row.labels for row in self.rows} & set(labels)
        self.labels = sorted(known, key=lambda count: count or float("inf"))
        found = {row.line for row in rows}
        every = [(method, color) for method in methods for color in METHODS[method].colors]
        self.lines: List[Line] = [line for line in every if line in found]

    @property
    def reference(self) -> int:
        """The number of labels that the tables are for: the largest that anything is known of."""
        return self.labels[-1]

    def spread(
        self, line: Line, score: str, scene: Optional[str] = None, labels: Optional[int] = None
    ) -> Optional[Spread]:
        """A score over seeds and scenes.

        Args:
            line: method and color.
            score: its name in a row.
            scene: that one alone.
            labels: numbers of labels, if not the largest.
        """
        labels = self.reference if labels is None else labels
        chosen = [row for row in self.rows if row.line == line and row.labels == labels]
        chosen = [row for row in chosen if scene is None or row.scene == scene]
        return Spread.of(row.scores[score] for row in chosen if score in row.scores)

    def is_complete(self, line: Line, labels: Optional[int] = None) -> bool:
        """Whether there is a row for every scene and seed."""
        found = self.spread(line, "miou", labels=labels)
        return found is not None and len(found.values) == len(self.scenes) * self.repeats

    def labelled(self, labels: int) -> str:
        """How many labelled photos were seen where so many were asked for, in words."""
        counts = {row.labelled for row in self.rows if row.labels == labels}
        return str(counts.pop()) if len(counts) == 1 else "all"

    @property
    def classes(self) -> List[str]:
        """Names of the classes that occur in the truth."""
        names = (name for row in self.rows for name in row.scores if name.startswith(CLASS_PREFIX))
        return list(dict.fromkeys(name[len(CLASS_PREFIX) :] for name in names))


def gather(folder: CompareFolder, jobs: Sequence[PlannedJob], config: CompareConfig) -> Comparison:
    """Reads what the finished jobs of the methods that were asked for have found."""
    rows = []
    for job in jobs:
        result = folder.result(job) if job.method in config.methods else None
        if result is not None:
            rows += [_row(job, result, color) for color in METHODS[job.method].colors]
    scenes = dict.fromkeys(job.scene.name for job in jobs)
    scored = UNLABELLED if config.truth else HELD_OUT
    return Comparison(rows, config.methods, list(scenes), config.labels, len(config.seeds), scored)


def _row(job: PlannedJob, result: Result, color: str) -> Row:
    scores = {name[len(color) + 1 :]: v for name, v in result["scores"].items() if name.startswith(f"{color}/")}
    in_truth = {name for name, counts in zip(result["classes"], result["confusion"][color]) if any(counts)}
    scores = {name: v for name, v in scores.items() if not _is_class(name) or name[len(CLASS_PREFIX) :] in in_truth}
    costs = {"train_seconds": result["all_train_seconds"], "predict_seconds": result["predict_seconds"]}
    costs["memory_bytes"] = result["memory_bytes"]
    return Row(
        scene=job.scene.name,
        method=job.method,
        color=color,
        seed=job.seed,
        labels=job.labels,
        labelled=result["labelled"],
        scores={**scores, **_propagated(result, color), **costs},
    )


def _is_class(name: str) -> bool:
    return name.startswith(CLASS_PREFIX)


def _propagated(result: Result, color: str) -> Dict[str, Any]:
    """The scores on the unlabelled training photos, in the row of the color that they were predicted with."""
    if color != result["propagated_color"] or f"{PROPAGATED}/miou" not in result["scores"]:
        return {}
    names = {"propagated_miou": "miou", "propagated_accuracy": "total_accuracy"}
    return {name: result["scores"][f"{PROPAGATED}/{score}"] for name, score in names.items()}
