"""What commands are run with."""

from __future__ import annotations

import os


def process_environment(**changes: str) -> dict[str, str]:
    """Environment for commands: one thread each, so that two processes on two cores do not slow each other."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", **changes}
