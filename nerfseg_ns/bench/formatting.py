"""How the figures are called and written."""

from __future__ import annotations

from typing import Any, Dict

FIGURES = {
    "stage1_step": "Stage 1, a step",
    "stage2_step": "Stage 2, a step",
    "stage2_bounded": "Stage 2, a step, half of the labels kept",
    "stage2_first": "Stage 2, the first step",
    "map": "Label map",
    "import": "Import of an ns-* command",
    "start_up": "Start-up after the import",
    "memory_start_up": "Peak memory, start-up",
    "memory_stage1": "Peak memory, stage 1",
    "memory_stage2": "Peak memory, stage 2",
    "memory_map": "Peak memory, label map",
    "gpu_memory_start_up": "GPU memory, start-up",
    "gpu_memory_stage1": "GPU memory, stage 1",
    "gpu_memory_stage2": "GPU memory, stage 2",
    "gpu_memory_map": "GPU memory, label map",
}
"""Names of what is measured."""
VARIANTS = {
    "paper": "paper",
    "nerfseg": "nerfseg",
    "nerfseg-fast": "nerfseg-fast",
    "nerfseg-fast-plain": "nerfseg-fast, plain",
}
"""Names of what is set side by side."""
SERIES = {
    "rays": "rays of a step",
    "samples": "samples of a ray",
    "classes": "classes",
    "views": "number of photos",
    "image_size": "photo width, pixels",
    "largest": "photo width, pixels",
}
"""What grows along each series."""


def figure_name(figure: str, config: Dict[str, Any]) -> str:
    """Name of a figure, with the map's size."""
    size = config["map_size"]
    return f"{FIGURES[figure]}, {size} x {size}" if figure == "map" else FIGURES[figure]
