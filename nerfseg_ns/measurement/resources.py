"""Time and memory of a job."""

from __future__ import annotations

import sys
import time
from typing import Dict, Optional


class Laps:
    """Wall-clock seconds of the steps of a job, one after the other, so that they add up to the whole."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._seconds: Dict[str, float] = {}

    def finish(self, name: str) -> float:
        """Ends a step: what went by since the last one ended is its. Returns its seconds."""
        now = time.perf_counter()
        self._seconds[name] = now - self._last
        self._last = now
        return self._seconds[name]

    def table(self) -> Dict[str, float]:
        """Seconds by step, and their `total`."""
        return {**self._seconds, "total": self._last - self._start}


def peak_memory_bytes() -> Optional[int]:
    """Peak resident memory of the job so far.

    A job is one process, now and then with a child such as ffmpeg. The figure is the larger one of the process's own
    peak and the largest child's, not their sum: a child is charged with its parent's pages until it runs its own
    program, so the sum would count them twice.
    None where the system does not tell.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else peak * 1024
