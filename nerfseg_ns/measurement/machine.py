"""What a machine is, so that figures can be told apart by where they were taken."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict

import torch

PACKAGES = ("torch", "nerfstudio", "numpy", "nerfseg")


def machine_facts(device: str) -> Dict[str, Any]:
    """Processor, memory, what else it was doing, device, threads and versions.

    Args:
        device: `cpu` or `cuda`.
    """
    facts = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": _memory_bytes(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "device": device,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts.update(gpu=properties.name, gpu_memory_bytes=properties.total_memory, cuda=torch.version.cuda)
    return facts


def describe_machine(facts: Dict[str, Any]) -> str:
    """One line on it."""
    threads = facts["torch_threads"]
    words = [f"{facts['cpu']}, {facts['cores']} cores, {threads} thread{'' if threads == 1 else 's'} used by torch"]
    if facts.get("memory_bytes"):
        words.append(f"{facts['memory_bytes'] / 1e9:.0f} GB")
    if facts.get("gpu"):
        words.append(f"{facts['gpu']} ({facts['gpu_memory_bytes'] / 1e9:.0f} GB)")
    if facts.get("load_average") is not None:
        words.append(f"load average {facts['load_average']:.1f} at the start")
    return f"{', '.join(words)}; torch {facts['torch']} on {facts['device']}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
