"""What a compared method is to the comparison: it trains on a scene, then tells labels and how sure it is of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional

from nerfseg_ns.compare.methods import MethodInfo
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.evaluation.prediction import Prediction


@dataclass
class TrainingBudget:
    """How long methods are trained."""

    implicit_steps: Optional[int] = None
    """Steps of stage 1; the method's own number unless given."""
    semantic_steps: Optional[int] = None
    """Steps of stage 2; the method's own number unless given."""
    cnn_epochs: Optional[int] = None
    """Most epochs of a CNN; its own number unless given."""


@dataclass
class Job:
    """One method on one scene, to be run in a process of its own."""

    method: str
    """Its name in METHODS."""
    info: MethodInfo
    scene: ComparedScene
    seed: int
    budget: TrainingBudget
    folder: Path
    """For all that the method writes; it exists."""
    geometry: Optional[Path] = None
    """Folder of the finished run whose stage 1 is taken over, where the method needs one."""
    maps: Optional[Path] = None
    """Folder with a label map STEM.png and a confidence STEM-confidence.png of each unlabelled training photo, where
    the method needs them."""


class ComparedMethod(ABC):
    """A method on a scene.

    Args:
        job: what to do.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @abstractmethod
    def train(self) -> None:
        """Learns from the scene's training photos and the labels that may be seen."""

    @abstractmethod
    def predict(self, split: str, view: int) -> Dict[str, Prediction]:
        """Labels of a view in its photo's size.

        Args:
            split: `train` or `test`.
            view: position in the split.

        Returns:
            By the color that it was given (`observed`, `rendered`), for each color of the method's row.
        """

    def facts(self) -> Dict[str, Any]:
        """What else is worth keeping beside the scores, as JSON takes it; nothing by default."""
        return {}

    def config_text(self) -> str:
        """The exact settings, as text for a file."""
        return ""
