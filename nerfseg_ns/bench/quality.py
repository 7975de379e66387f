"""Trains runs and watches depth error and mIoU over the training time; the clock stands while they are scored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from nerfseg_ns.bench.config import BenchConfig
from nerfseg_ns.bench.held_out import SLOW_STRIDES, STRIDES, HeldOut
from nerfseg_ns.bench.variants import variant_config
from nerfseg_ns.console.quiet import quiet
from nerfseg_ns.console.timed_lines import say_timed
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.runs.session import Session
from nerfseg_ns.training.trainer import StagedTrainerConfig

DEPTH_GOAL = 0.01
"""Median relative depth error that the geometry is good enough at."""
SHARES = (0.9, 0.99)
"""Of the final mIoU; the times at which they are reached are told."""
GROWTH, LEAST_GAP, SCORING = 1.08, 0.5, 0.3
"""A score is taken when the stage's clock has gone on by 8 %, by half a second, and by 0.3 of what scoring took."""
STAGE1_SHARE = 0.7
"""Of the time that a method is given where it is not trained at its defaults."""


@dataclass
class Mark:
    """A score on the way."""

    seconds: float
    """Training time within the stage."""
    step: int
    """Steps done within the stage."""
    score: float
    """Median relative depth error in stage 1, mIoU in stage 2."""


@dataclass
class Watched:
    """A training that was watched."""

    variant: str
    seed: int
    start_up: float
    """Seconds before the first step."""
    folder: str = ""
    """Of the run."""
    stages: Dict[str, List[Mark]] = field(default_factory=dict)
    """Marks by the stage's name; the last one is at its end."""
    reading_labels: Optional[float] = None
    """Seconds to read the labels anew in the running process and to unlearn the old ones."""
    scores: Dict[str, float] = field(default_factory=dict)
    """ns-eval's scores at the end; of a method that renders slowly the mIoU of the last mark alone."""

    def times(self) -> Dict[str, Optional[float]]:
        """The times that matter, in seconds of training; None for what was not reached.

        A time is that of the first score which has it: the truth lies up to 8 % before.
        """
        implicit, semantic = (self.stages[stage.value] for stage in Stage)
        found = {
            "stage1": implicit[-1].seconds,
            "stage1_to_depth_goal": _first(implicit, lambda mark: mark.score < DEPTH_GOAL),
            "stage2": semantic[-1].seconds,
        }
        for share in SHARES:
            goal = share * semantic[-1].score
            found[f"stage2_to_{share * 100:.0f}"] = _first(semantic, lambda mark, goal=goal: mark.score >= goal)
        if self.reading_labels is not None:
            found["new_labels_to_90"] = self.reading_labels + found["stage2_to_90"]
        return found

    def to_json(self) -> Dict[str, Any]:
        """As bench.json holds it."""
        return {**asdict(self), "times": self.times()}


def measure_quality(config: BenchConfig, towns: Dict[int, Path], root: Path) -> List[Watched]:
    """Trains every quality method on every town.

    Args:
        config: of the bench.
        towns: folders of the towns by seed.
        root: folder of the bench, which keeps the runs.
    """
    watched = []
    for seed, town in towns.items():
        for variant in config.quality_methods:
            run = variant_config(variant, town, root, config.rays)
            run.experiment_name += "" if seed == config.town.seed else f"-seed-{seed}"
            if variant == "nerfseg-fast":
                run.pipeline.stages.set_lengths(config.implicit_steps, config.semantic_steps)
            else:
                fit_into(run, config.quality_seconds)
            watched.append(watch_training(run, seed, town))
    return watched


def fit_into(run: StagedTrainerConfig, seconds: float) -> None:
    """Shortens both stages so that they take so many seconds together, going by a step or two of each."""
    session, stages = Session(run), run.pipeline.stages
    with quiet():
        implicit, first, semantic = (
            seconds_of(lambda stage=stage: session.run_stage(stage), session.device)[0]
            for stage in (Stage.IMPLICIT, Stage.SEMANTIC, Stage.SEMANTIC)
        )
    left = (1 - STAGE1_SHARE) * seconds - max(0.0, first - semantic)
    stages.implicit_steps = max(1, round(STAGE1_SHARE * seconds / implicit))
    stages.semantic_steps = max(1, round(left / semantic))


def renders_slowly(run: StagedTrainerConfig) -> bool:
    """Whether all test views would take many minutes to render."""
    return run.method_name == "nerfseg" and run.machine.device_type == "cpu"


def train_run(run: StagedTrainerConfig) -> Path:
    """Trains a run through both stages, without a look at it. Returns its folder."""
    total = run.pipeline.stages.total_steps
    say_timed(f"Training {run.timestamp} to measure on: {total} steps")
    session = Session(run)
    session.run_to(total)
    return session.save(total - 1)


def watch_training(run: StagedTrainerConfig, seed: int, town: Path) -> Watched:
    """Trains a run through both stages, scores it on the way and saves it.

    Args:
        run: its config.
        seed: of the town.
        town: its folder.
    """
    stages = run.pipeline.stages
    say_timed(
        f"Training {run.timestamp} on the town of seed {seed}: {stages.implicit_steps} + {stages.semantic_steps} steps"
    )
    session = Session(run)
    held_out = HeldOut(session, town, STRIDES.get(run.timestamp, SLOW_STRIDES))
    watched = Watched(run.timestamp, seed, session.start_up)
    watched.stages["implicit"] = _watch_stage(session, held_out, range(stages.implicit_steps))
    watched.stages["semantic"] = _watch_stage(session, held_out, range(stages.implicit_steps, stages.total_steps))
    last = watched.stages["semantic"][-1].score
    watched.scores = {"miou": last} if renders_slowly(run) else _final_scores(session)
    say_timed(f"  final mIoU {watched.scores['miou']:.3f}")
    watched.folder = str(session.save(stages.total_steps - 1))
    with quiet():
        watched.reading_labels = seconds_of(session.trainer.take_new_labels, session.device)[0]
    return watched


def _watch_stage(session: Session, held_out: HeldOut, steps: range) -> List[Mark]:
    clock, due, marks = 0.0, 0.0, []
    for done, step in enumerate(steps, start=1):
        with quiet():
            clock += seconds_of(lambda step=step: session.run_step(step), session.device)[0]
        if done < len(steps) and clock < due:
            continue
        seconds, score = seconds_of(held_out.score, session.device)
        marks.append(Mark(clock, done, score))
        due = max(GROWTH * clock, clock + LEAST_GAP, clock + SCORING * seconds)
        _say_mark(session, marks, len(steps))
    return marks


def _say_mark(session: Session, marks: List[Mark], length: int) -> None:
    """Tells of a mark if the stage has gone on by a tenth since the last one told, or is over."""
    tenths = [10 * mark.step // length for mark in marks]
    if len(marks) > 1 and tenths[-1] == tenths[-2]:
        return
    stage1 = session.model.stage is Stage.IMPLICIT
    name, value = ("depth error", f"{100 * marks[-1].score:.2f} %") if stage1 else ("mIoU", f"{marks[-1].score:.3f}")
    say_timed(
        f"  stage {1 if stage1 else 2}: step {marks[-1].step} of {length}, {marks[-1].seconds:.1f} s, {name} {value}"
    )


def _final_scores(session: Session) -> Dict[str, float]:
    with quiet():
        metrics = session.trainer.pipeline.get_average_eval_image_metrics()
    session.trainer.pipeline.train()
    return {key: float(metrics[key]) for key in ("miou", "observed/miou", "total_accuracy", "psnr") if key in metrics}


def _first(marks: List[Mark], reached) -> Optional[float]:
    return next((mark.seconds for mark in marks if reached(mark)), None)
