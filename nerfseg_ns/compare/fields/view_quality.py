"""How well a field renders the test views: right labels can sit on a wrong scene."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import torch
from jaxtyping import Float
from torch import Tensor

from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.evaluation.depth import DepthScore, read_true_depth
from nerfseg_ns.evaluation.image_quality import psnr


class ViewQuality:
    """Gathers PSNR and depth errors of test views as they are rendered for their labels.

    Args:
        scene: with the photos; the built-in town has the true depth too.
    """

    def __init__(self, scene: ComparedScene) -> None:
        self.scene = scene
        self._psnr: Dict[int, float] = {}
        self._depth = DepthScore()
        self._knows_depth = False

    @torch.no_grad()
    def add(self, view: int, outputs: Dict[str, Tensor], photo: Float[Tensor, "height width 3"]) -> None:
        """Counts a test view, the first time that it is rendered.

        Args:
            view: position in the test split.
            outputs: `rgb` [height, width, 3], and `depth` [height, width, 1] along the rays.
            photo: of the view, colors in [0, 1].
        """
        if view in self._psnr:
            return
        self._psnr[view] = float(psnr(outputs["rgb"].clamp(0.0, 1.0), photo))
        stem = self.scene.test.image_filenames[view].stem
        if self._depth_file(stem).exists():
            scale = self.scene.test._dataparser_outputs.dataparser_scale  # from the data's units to the run's
            truth = read_true_depth(self.scene.folder, stem) * scale
            self._depth.add(outputs["depth"][..., 0].cpu().numpy(), truth)
            self._knows_depth = True

    def summary(self) -> Dict[str, float]:
        """Mean `psnr` in decibels and, where the depth is known, `depth_error`, the median relative error of all
        pixels. Nothing before the first view."""
        if not self._psnr:
            return {}
        found = {"psnr": sum(self._psnr.values()) / len(self._psnr)}
        return {**found, "depth_error": self._depth.median()} if self._knows_depth else found

    def _depth_file(self, stem: str) -> Path:
        return self.scene.folder / "truth" / "test" / "depth" / f"{stem}.npy"
