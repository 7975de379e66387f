"""Scores the trained run from its checkpoint, as ns-eval does, and keeps pictures of its test views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from jaxtyping import Float, UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from numpy import ndarray
from rich.progress import track
from torch import Tensor

from nerfseg_ns.demo.folder import DemoFolder
from nerfseg_ns.evaluation.depth import DepthScore, read_true_depth
from nerfseg_ns.labels.label_maps import LabelMaps
from nerfseg_ns.pictures.label_colors import save_labels
from nerfseg_ns.pictures.views import confidence_picture, depth_picture, error_picture, save_picture, to_bytes
from nerfseg_ns.pipeline import NerfSegPipeline
from nerfseg_ns.semantics.outputs import LOGITS

TIMINGS = ("num_rays_per_sec", "fps")
"""Figures of ns-eval that are times, not scores."""


@dataclass
class ViewPictures:
    """Picture files of one test view."""

    stem: str
    """Name of the view."""
    files: Dict[str, Path]
    """By column of the report."""


def score(pipeline: NerfSegPipeline) -> Dict[str, float]:
    """ns-eval's `results`, but for its timings."""
    metrics = pipeline.get_average_eval_image_metrics()
    pipeline.eval()
    return {key: value for key, value in metrics.items() if key not in TIMINGS}


def render_test_views(pipeline: NerfSegPipeline, folder: DemoFolder) -> Tuple[float, List[ViewPictures]]:
    """Renders every test view, scores its depth and keeps its pictures.

    Returns:
        Median relative depth error over all test views, and the picture files.
    """
    depths, views, dataset = DepthScore(), [], pipeline.datamanager.eval_dataset
    loader = pipeline.datamanager.fixed_indices_eval_dataloader
    for camera, batch in track(loader, "Rendering test views", total=len(loader), console=CONSOLE, transient=True):
        photo_file = dataset.image_filenames[int(batch["image_idx"])]
        outputs = pipeline.model.get_view(camera)
        true_depth = read_true_depth(folder.town, photo_file.stem)
        depths.add(outputs["depth"][..., 0].cpu().numpy(), true_depth)
        views.append(_keep_pictures(outputs, batch, true_depth, dataset.label_maps, folder, photo_file.stem))
    return depths.median(), views


def label_map(outputs: Dict[str, Tensor]) -> UInt8[ndarray, "height width"]:
    """Class index of every pixel of a rendered view."""
    return outputs[LOGITS].argmax(dim=-1).byte().cpu().numpy()


def _keep_pictures(
    outputs: Dict[str, Tensor],
    batch: Dict[str, Tensor],
    true_depth: Float[ndarray, "height width"],
    maps: LabelMaps,
    folder: DemoFolder,
    stem: str,
) -> ViewPictures:
    """Writes the pictures of a view."""
    photo, truth = to_bytes(batch["image"]), batch["semantics"][..., 0].cpu().numpy()
    predicted, palette = label_map(outputs), maps.table.color_array
    labels, truths = folder.labels / "test" / f"{stem}.png", folder.pictures / f"{stem}-truth.png"
    save_labels(labels, predicted, palette)
    save_labels(truths, truth, palette)
    pictures = {
        "photo": photo,
        "rendered": to_bytes(outputs["rgb"]),
        "errors": error_picture(predicted, truth, photo),
        "confidence": confidence_picture(outputs["semantics_confidence"]),
        "depth": depth_picture(outputs["depth"], outputs["accumulation"], true_depth),
    }
    files = {name: folder.pictures / f"{stem}-{name}.png" for name in pictures}
    for name, image in pictures.items():
        save_picture(files[name], image)
    return ViewPictures(stem, {**files, "prediction": labels, "truth": truths})
