"""Freed memory that is kept for the next step."""

import subprocess
import sys

import pytest

from nerfseg_ns.utils.memory import keep_freed_memory

PROGRAM = """
import resource, sys, torch
from nerfseg_ns.utils.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step():
    return torch.zeros(4 * 2**20).sum().item()  # 16 MB
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(what: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not sys.platform.startswith("linux") or not keep_freed_memory(), reason="not glibc")
def test_a_freed_block_is_not_fetched_anew():
    """Page faults of ten blocks of 4,096 pages each."""
    assert page_faults("keep") < 1000
