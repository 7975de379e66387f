"""How the process deals with memory that it has freed."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of these options (mallopt(3))."""
LARGEST_BLOCK = 32 * 2**20
"""Bytes; glibc takes no more."""
KEPT = 2**30
"""Bytes of freed memory that the process keeps at most."""


def keep_freed_memory() -> bool:
    """Has the C library keep freed memory for the next step of a training instead of giving it back to the system.

    A step frees the gradients of its grids, some tens of megabytes, and the next one needs as much again. Fetching that
    anew, page by page, takes a CPU longer than filling it: a tenth to a fifth of a step.

    Returns:
        Whether the C library can do it: glibc does, others do not, and nothing changes there.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
