"""Timings with their repeats, taken in turns."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Callable, Dict, List, Tuple, TypeVar

import torch

Result = TypeVar("Result")

MOST_REPEATS = 10
"""Of a short job in a round."""
WARM_UP_SECONDS = 5.0
"""The first run of a job does not count, unless it takes longer than this: a long one hardly differs from the next."""


@dataclass
class Measured:
    """Every value of a figure, by the round that it was taken in."""

    rounds: List[List[float]]
    unit: str = "s"
    """`s` or `bytes`."""
    timed_share: float = 1.0
    """Share of the work that was timed; the values are scaled up to all of it."""

    @property
    def values(self) -> List[float]:
        """All of them."""
        return [value for values in self.rounds for value in values]

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    @property
    def range(self) -> Tuple[float, float]:
        """Least and greatest value."""
        return min(self.values), max(self.values)

    def scale_up(self, share: float) -> None:
        """Turns the times of a share of the work into those of all of it."""
        self.timed_share = share
        self.rounds = [[value / share for value in values] for values in self.rounds]

    def times(self, other: Measured) -> Tuple[float, float, float]:
        """How many times as much as another figure this is.

        Returns:
            Ratio of the medians, and the least and greatest ratio of the rounds' medians: within a round both were
            measured one after the other.
        """
        ratios = [median(own) / median(others) for own, others in zip(self.rounds, other.rounds) if own and others]
        return self.median / other.median, min(ratios), max(ratios)

    def to_json(self) -> Dict[str, Any]:
        """As bench.json holds it."""
        return asdict(self)

    @classmethod
    def of(cls, content: Dict[str, Any]) -> Measured:
        """From bench.json."""
        return cls(**content)


def seconds_of(job: Callable[[], Result], device: str) -> Tuple[float, Result]:
    """Runs a job and waits for its end, on a GPU too. Returns its wall-clock seconds and its result."""
    synchronise(device)
    start = time.perf_counter()
    result = job()
    synchronise(device)
    return time.perf_counter() - start, result


def synchronise(device: str) -> None:
    """Waits for what the device still has to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def take_turns(
    jobs: Dict[str, Callable[[], Any]],
    rounds: int,
    round_seconds: float,
    device: str,
    said: Callable[[str, int], None] = lambda *_: None,
) -> Dict[str, Measured]:
    """Times jobs in turns: each round runs all of them, so that what drifts on the machine hits all alike.

    A job's first run warms up and does not count, unless it is long.

    Args:
        jobs: by name.
        rounds: how many.
        round_seconds: for which a short job is repeated in each of them.
        device: that they run on.
        said: called with a job's name and the round, from 0, before it is timed.
    """
    measured = {name: Measured([]) for name in jobs}
    for index in range(rounds):
        for name, job in jobs.items():
            said(name, index)
            measured[name].rounds.append(_repeat(job, round_seconds, device, warm_up=index == 0))
    return measured


def _repeat(job: Callable[[], Any], round_seconds: float, device: str, warm_up: bool) -> List[float]:
    values: List[float] = []
    if warm_up:
        first = seconds_of(job, device)[0]
        values = [first] if first > WARM_UP_SECONDS else []
    while not values or (len(values) < MOST_REPEATS and sum(values) < round_seconds):
        values.append(seconds_of(job, device)[0])
    return values
