"""The main figures of the demo in words."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple


def summary(metrics: Dict[str, Any]) -> List[Tuple[str, str]]:
    """Name and text of each main figure."""
    figures = [
        ("mIoU", percent(metrics.get("miou"))),
        ("Total accuracy", percent(metrics.get("total_accuracy"))),
        ("Average accuracy", percent(metrics.get("average_accuracy"))),
        ("mIoU, observed color", percent(metrics.get("observed/miou"))),
        ("Median depth error", percent(metrics["depth_median_relative_error"], 2)),
        ("PSNR", f"{metrics['psnr']:.1f} dB"),
        ("SSIM", f"{metrics['ssim']:.3f}"),
        ("Time", _duration(metrics["seconds"]["total"])),
    ]
    if metrics["peak_memory_bytes"] is not None:
        figures.append(("Peak memory", f"{metrics['peak_memory_bytes'] / 1e9:.1f} GB"))
    return figures


def percent(value: Optional[float], digits: int = 1) -> str:
    """A fraction as per cent, a dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
