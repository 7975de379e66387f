"""A trained method's views: predicted, kept as pictures and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE
from PIL import Image

from nerfseg_ns.compare.folder import PROPAGATED, UNLABELLED
from nerfseg_ns.compare.method import ComparedMethod
from nerfseg_ns.compare.scoring import ComparedScores
from nerfseg_ns.core.files import write_whole
from nerfseg_ns.evaluation.prediction import Prediction
from nerfseg_ns.measurement.timing import seconds_of
from nerfseg_ns.pictures.label_colors import save_labels


class Evaluator:
    """Predicts views of a scene with a trained method and gathers its scores by color.

    Args:
        method: the trained method.
        device: `cpu` or `cuda`, that it runs on.
    """

    def __init__(self, method: ComparedMethod, device: str) -> None:
        self.method, self.device = method, device
        self.scene, self.folder = method.job.scene, method.job.folder
        self.colors = method.job.info.colors
        self.scores: Dict[str, ComparedScores] = {}
        self.seconds, self.views = 0.0, 0

    @property
    def propagated_color(self) -> str:
        """Of training photos: their own, if the method can take it."""
        return "observed" if "observed" in self.colors else "rendered"

    def score_test_views(self) -> None:
        """Predicts and scores the held-out views, in each color."""
        for view in self.scene.test_views:
            predictions = self._predict("test", view)
            truth = self.scene.read("test", view)
            for color in self.colors:
                save_prediction(self.folder / color, truth.stem, predictions[color], self.scene.table.color_array)
                self._score(color, predictions[color], truth.labels)

    def score_unlabelled(self, maps_all: bool) -> None:
        """Predicts the unlabelled training photos whose truth is known and scores them.

        Args:
            maps_all: predict the others too.
        """
        known = set(self.scene.propagated_views)
        unlabelled = set(range(len(self.scene.train))) - set(self.scene.labelled_views)
        for view in sorted(unlabelled if maps_all else known):
            prediction = self._predict("train", view)[self.propagated_color]
            truth = self.scene.read("train", view, with_truth=view in known)
            save_prediction(self.folder / UNLABELLED, truth.stem, prediction, self.scene.table.color_array)
            if view in known:
                self._score(PROPAGATED, prediction, truth.labels)

    def result(self) -> Dict[str, Any]:
        """`scores`, a name for each with its color in front; the `confusion` matrix by color; seconds a view."""
        scores, confusion = {}, {}
        for prefix, gathered in self.scores.items():
            found = gathered.summary()
            confusion[prefix] = found.pop("confusion")
            scores.update({f"{prefix}/{name}": value for name, value in found.items()})
        return {
            "classes": list(self.scene.table.names),
            "propagated_color": self.propagated_color,
            "scores": scores,
            "confusion": confusion,
            "predict_seconds": self.seconds / self.views,
        }

    def _predict(self, split: str, view: int) -> Dict[str, Prediction]:
        seconds, predictions = seconds_of(lambda: self.method.predict(split, view), self.device)
        self.seconds += seconds
        self.views += 1
        CONSOLE.print(f"Predicted view {view} of {split} in {seconds:.1f} s")
        return predictions

    def _score(self, prefix: str, prediction: Prediction, truth: np.ndarray) -> None:
        self.scores.setdefault(prefix, ComparedScores(self.scene.table.names)).add(prediction, truth)


def save_prediction(folder: Path, stem: str, prediction: Prediction, palette: np.ndarray) -> None:
    """Writes a label map STEM.png of class indices, and its confidence STEM-confidence.png, 255 for 1.

    Args:
        folder: to write into.
        stem: of the view's photo.
        prediction: to write.
        palette: colors of the classes, UInt8 [classes, 3].
    """
    save_labels(folder / f"{stem}.png", prediction.labels, palette)
    confidence = Image.fromarray((prediction.confidence * 255).round().clip(0, 255).astype(np.uint8))
    write_whole(folder / f"{stem}-confidence.png", confidence.save)
