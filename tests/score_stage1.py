"""Scores what runs have learnt of a scene's shape and colors, and shows it.

python tests/score_stage1.py RUN/config.yml ... [--stride 3] [--pictures FOLDER]

Of photos that the run held out (all it scores, if it held out none): PSNR as rendered and in the photo's exposure. Of
the built-in town: error of the depth, holes (more than 5 % too far) and floaters (more than 5 % too near), in per cent.
Of a scene with polygons in real_labels: the median height of each class above the ground classes of its photo, as a
share of the camera's height, and in brackets that of the scene's sparse points in the same polygons, and how much
higher the run renders these points, in the median over them. With --pictures: for four photos the heights that each of
the runs has learnt, and a profile along the row where most stands up. Stage 1 need not be followed by stage 2: ns-train
... --pipeline.stages.implicit-steps N --max-num-iterations N leaves such a run.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.model_components.ray_generators import RayGenerator
from nerfstudio.utils.eval_utils import eval_setup
from numpy import ndarray
from score_maps import POLYGONS, truth_of
from torch import Tensor

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.core.projection import Projector
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.evaluation.depth import read_true_depth
from nerfseg_ns.evaluation.image_quality import psnr
from nerfseg_ns.exposure.exposure import find_exposure
from nerfseg_ns.geometry.scene_frame import with_known_points
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.json_labels import labels_in_json
from nerfseg_ns.pipeline import NerfSegPipeline

FAR = 0.05
"""Relative error of a depth from which on it is a hole or a floater."""
GROUND = {"Grass", "Road", "Pavement", "Bare", "Path", "Lawn", "Court", "Sand"}
LEAST = 20
"""Pixels, or points, that a height is the median of."""
PICTURES = 4


@dataclass
class Seen:
    """Pixels of a photo, as a run renders them."""

    rgb: Float[Tensor, "pixels 3"]
    photo: Float[Tensor, "pixels 3"]
    depth: Float[Tensor, "pixels"]
    heights: Float[Tensor, "pixels"]
    """Along the scene's upward axis, from any zero."""
    camera: float
    """Height of the camera, from the same zero."""


class Run:
    """A run, ready to be looked at.

    Args:
        config: its config.yml.
    """

    def __init__(self, config: Path) -> None:
        self.name = config.parent.name if config.parent.name != "run" else config.parents[2].name
        self.pipeline: NerfSegPipeline = eval_setup(config, test_mode="test")[1]
        self.model, manager = self.pipeline.model.eval(), self.pipeline.datamanager
        self.held_out: LabelledDataset = manager.eval_dataset
        self.datasets = (manager.train_dataset, manager.eval_dataset)
        self.up = self.model.geometry.frame.rotation[2].cpu()
        self.folder = Path(manager.dataparser.config.data)

    def photo(self, stem: str) -> Optional[Tuple[LabelledDataset, int]]:
        """Where a photo is."""
        for dataset in self.datasets:
            for index, path in enumerate(dataset.image_filenames):
                if path.stem == stem:
                    return dataset, index
        return None

    @torch.no_grad()
    def look(self, dataset: LabelledDataset, view: int, rows: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Seen:
        """Renders pixels of a photo."""
        device = self.model.device
        generator = RayGenerator(dataset.cameras.to(device))
        indices = torch.stack([torch.full_like(rows, view), rows, columns], dim=-1).to(device)
        colors, depths, heights, camera = [], [], [], 0.0
        for chunk in indices.split(self.model.rays_per_chunk):
            rays = generator(chunk)
            level = self.model.geometry(rays)[-1]
            places = (rays.origins + level.depth * rays.directions).cpu()
            colors.append(level.rgb.clamp(0, 1).cpu())
            depths.append(level.depth[:, 0].cpu())
            heights.append(places @ self.up)
            camera = float(rays.origins[0].cpu() @ self.up)
        photo = dataset.get_data(view)["image"][rows, columns].cpu()
        return Seen(torch.cat(colors), photo, torch.cat(depths), torch.cat(heights), camera)


def pixels_of(dataset: LabelledDataset, view: int, stride: int) -> Tuple[Int[Tensor, "n"], Int[Tensor, "n"], tuple]:
    """Rows and columns of every so many pixels, and the shape of what they make."""
    height, width = int(dataset.cameras.height[view]), int(dataset.cameras.width[view])
    rows, columns = torch.arange(stride // 2, height, stride), torch.arange(stride // 2, width, stride)
    grid = torch.cartesian_prod(rows, columns)
    return grid[:, 0], grid[:, 1], (len(rows), len(columns))


def score_views(run: Run, stride: int) -> Dict[str, float]:
    """PSNR of the held-out photos, and of a town the errors of its depth in per cent."""
    neutral, exposed, errors = [], [], []
    for view, path in enumerate(run.held_out.image_filenames):
        rows, columns, _ = pixels_of(run.held_out, view, stride)
        seen = run.look(run.held_out, view, rows, columns)
        neutral.append(float(psnr(seen.rgb, seen.photo)))
        exposed.append(float(psnr(find_exposure(seen.rgb, seen.photo).shown(seen.rgb), seen.photo)))
        if (run.folder / "truth" / "test" / "depth").exists():
            truth = read_true_depth(run.folder, path.stem)[rows, columns]
            truth = truth * run.held_out._dataparser_outputs.dataparser_scale
            known = np.isfinite(truth)
            errors.append((seen.depth.numpy()[known] - truth[known]) / truth[known])
    found = {"views": len(neutral), "psnr_neutral": float(np.mean(neutral)), "psnr": float(np.mean(exposed))}
    if errors:
        each = np.concatenate(errors)
        found["depth_median"] = 100 * float(np.median(np.abs(each)))
        found["depth_90"] = 100 * float(np.quantile(np.abs(each), 0.9))
        found["holes"], found["floaters"] = 100 * float((each > FAR).mean()), 100 * float((each < -FAR).mean())
    return found


def true_labels(folder: Path, table: ClassTable) -> Dict[str, ndarray]:
    """Class indices of the photos that have polygons, by their stems."""
    found = {}
    for path in sorted((POLYGONS / folder.resolve().name).glob("*.json")):
        ((_, label),) = labels_in_json(path)
        found[path.stem] = truth_of(label, table)
    return found


@dataclass
class ClassHeight:
    """Height of a class above the ground in a photo, as a share of the camera's."""

    rendered: float
    points: Optional[float]
    """Of the sparse points, which lie at edges more often than elsewhere; None of too few."""
    higher: Optional[float]
    """How much higher than a point its pixel is rendered, in the median: the point may be hidden in this photo."""


def score_heights(run: Run, stride: int) -> Dict[str, Dict[str, ClassHeight]]:
    """By class and photo."""
    table = run.datasets[0].label_maps.table
    found: Dict[str, Dict[str, ClassHeight]] = {}
    for stem, labels in true_labels(run.folder, table).items():
        if (place := run.photo(stem)) is None:
            continue
        rows, columns, _ = pixels_of(*place, stride)
        seen = run.look(*place, rows, columns)
        rendered = _medians(seen.heights.numpy(), labels[rows, columns], table)
        points, higher = _heights_of_points(run, *place, labels, table)
        if "ground" not in rendered:
            continue
        scale = seen.camera - rendered["ground"]
        for name in rendered.keys() - {"ground"} - GROUND:
            known = (
                ((points[name] - points["ground"]) / scale, higher[name] / scale) if name in points else (None, None)
            )
            found.setdefault(name, {})[stem] = ClassHeight((rendered[name] - rendered["ground"]) / scale, *known)
    return found


def _heights_of_points(
    run: Run, dataset: LabelledDataset, view: int, labels: ndarray, table: ClassTable
) -> Tuple[Dict[str, float], Dict[str, float]]:
    """Of the scene's points in a photo, by class: medians of their heights, and of how much higher they are rendered.
    Nothing, if too few lie on the ground."""
    points = with_known_points(dataset, torch.zeros(0, 3))
    seen = Projector(dataset.cameras).project(view, points)
    columns, rows = seen.pixels[seen.inside].long().unbind(-1)
    rows, columns = rows.clamp(0, labels.shape[0] - 1), columns.clamp(0, labels.shape[1] - 1)
    classes = labels[rows.numpy(), columns.numpy()]
    labelled = torch.from_numpy(classes != IGNORE_INDEX)
    rendered = run.look(dataset, view, rows[labelled], columns[labelled]).heights.numpy()
    heights = (points[seen.inside][labelled] @ run.up).numpy()
    medians = [_medians(values, classes[labelled.numpy()], table) for values in (heights, rendered - heights)]
    return tuple(found if "ground" in found else {} for found in medians)


def _medians(heights: ndarray, classes: ndarray, table: ClassTable) -> Dict[str, float]:
    """By class, and of all ground classes together as `ground`."""
    groups = {name: classes == index for index, name in enumerate(table.names)}
    groups["ground"] = np.any([groups[name] for name in GROUND & groups.keys()], axis=0) & (classes != IGNORE_INDEX)
    return {name: float(np.median(heights[group])) for name, group in groups.items() if group.sum() >= LEAST}


def draw(runs: List[Run], stride: int, folder: Path) -> None:
    """For four photos, what each run has learnt of heights, and a profile of each."""
    import matplotlib.pyplot as plt

    dataset = runs[0].datasets[0]
    views = evenly_spaced_indices(len(dataset), min(PICTURES, len(dataset)))
    figure, axes = plt.subplots(len(views), len(runs) + 2, figsize=(4 * (len(runs) + 2), 3 * len(views)), squeeze=False)
    for line, view in zip(axes, views):
        rows, columns, shape = pixels_of(dataset, view, stride)
        seen = [run.look(dataset, view, rows, columns) for run in runs]
        grounds = [float(one.heights.quantile(0.1)) for one in seen]
        shares = [((one.heights - zero) / (one.camera - zero)).view(shape) for one, zero in zip(seen, grounds)]
        row = int(torch.stack(shares).std(dim=-1).amax(dim=0).argmax())
        line[0].imshow(seen[0].photo.view(*shape, 3))
        line[0].set_title(dataset.image_filenames[view].stem)
        line[0].axhline(row, color="white", linewidth=0.7)
        for run, axis, share in zip(runs, line[1:], shares):
            axis.imshow(share, vmin=-0.05, vmax=0.3, cmap="viridis")
            axis.set_title(run.name)
            line[-1].plot(share[row], label=run.name, linewidth=1)
        line[-1].set_ylim(-0.1, 0.4)
        line[-1].set_ylabel("height / camera's")
        line[-1].legend(fontsize=7)
        for axis in line[:-1]:
            axis.axis("off")
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "heights.jpg", dpi=70)
    plt.close(figure)


def main(configs: List[Path], stride: int, pictures: Optional[Path]) -> None:
    """Prints the scores of each run, and draws the pictures."""
    runs = [Run(config) for config in configs]
    for run in runs:
        print(
            run.name, ", ".join(f"{name} {value:.2f}" for name, value in score_views(run, stride).items()), flush=True
        )
        for name, photos in sorted(score_heights(run, stride).items()):
            each = (
                f"{stem} {high.rendered:.3f}"
                + ("" if high.points is None else f" ({high.points:.3f}, {high.higher:+.3f})")
                for stem, high in photos.items()
            )
            print(f"  {name}: {', '.join(each)}", flush=True)
    if pictures is not None:
        draw(runs, stride, pictures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--stride", type=int, default=3, help="every so many pixels, both ways")
    parser.add_argument("--pictures", type=Path, help="folder for heights.jpg")
    main(**vars(parser.parse_args()))
