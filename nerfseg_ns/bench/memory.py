"""Peak memory of the phases of a process."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, Optional

import torch

from nerfseg_ns.measurement.resources import peak_memory_bytes

KIBIBYTE = 1024


class PeakMemory:
    """Peak resident memory of this process by phase, and that of the GPU's tensors.

    Where the system lets a process reset its peak (Linux), a phase has its own; elsewhere it has the peak until its
    end. A process forked from a server with the libraries loaded has the libraries' files not among its own pages: they
    are added, as a process of its own would have them.

    Args:
        device: `cpu` or `cuda`.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.table: Dict[str, float] = {}
        self._files = _status_bytes(os.getppid(), "RssFile") or 0
        self.start()

    def start(self) -> None:
        """Begins a phase."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            pass
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()

    def finish(self, phase: str) -> None:
        """Ends a phase and begins the next one."""
        peak = self._peak()
        if peak is not None:
            self.table[f"memory_{phase}"] = float(peak)
        if self.device.startswith("cuda"):
            self.table[f"gpu_memory_{phase}"] = float(torch.cuda.max_memory_allocated())
        self.start()

    def _peak(self) -> Optional[int]:
        peak, files = _status_bytes("self", "VmHWM"), _status_bytes("self", "RssFile")
        if peak is None or files is None:
            return peak_memory_bytes()
        return peak + max(0, self._files - files)


def _status_bytes(process: int | str, key: str) -> Optional[int]:
    """An entry of Linux's account of a process."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return None
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * KIBIBYTE if found else None
