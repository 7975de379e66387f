"""Freed memory that is kept for the next step."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from nerfseg_ns.training.freed_memory import keep_freed_memory
class Info(ctypes.Structure):
    _fields_ = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = libc.mallinfo2().field_3
assert libc.malloc(ctypes.c_size_t(16 * 2**20))
print(libc.mallinfo2().field_3 - before)
"""
"""Prints how many blocks of their own from the system (`hblks` of mallinfo(3)) are taken for one of 16 MB."""


def own_blocks(what: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc 2.33 or newer tells of its blocks")
def test_large_blocks_come_from_memory_that_is_kept():
    """Without it such a block comes from the system, and goes back when it is freed."""
    assert own_blocks("leave") == 1 and own_blocks("keep") == 0
