"""Freed memory that is kept for the next step."""

import subprocess
import sys

import pytest

from nerfseg_ns.utils.memory import keep_freed_memory

PROGRAM = """
import resource, statistics, sys, torch
from nerfseg_ns.utils.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    gradients = [torch.zeros(4 * 2**20) for _ in range(4)]  # 16 MB each
    del gradients
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median([faults_of_a_step() for _ in range(21)]))
"""


def page_faults(what: str) -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


@pytest.mark.skipif(not sys.platform.startswith("linux") or not keep_freed_memory(), reason="not glibc")
def test_freed_blocks_are_not_fetched_anew():
    """Page faults of four blocks of 4,096 pages each, in the middle of many steps."""
    before = page_faults("leave")
    if before < 100:
        pytest.skip("here the system gives memory in pages too large to count")
    assert page_faults("keep") < before / 4
