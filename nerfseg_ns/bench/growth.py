"""How nerfseg-fast's steps, map and memory grow with the size of the task."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch

from nerfseg_ns.bench.config import BenchConfig
from nerfseg_ns.bench.formatting import FIGURES
from nerfseg_ns.bench.isolated_process import Task, measure_alone
from nerfseg_ns.bench.scenes import enlarge, reclassify
from nerfseg_ns.bench.variants import variant_config
from nerfseg_ns.console.quiet import quiet
from nerfseg_ns.console.timed_lines import say_timed
from nerfseg_ns.core.device import device_type
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.measurement.timing import Measured, seconds_of, take_turns
from nerfseg_ns.measurement.units import amount
from nerfseg_ns.runs.session import Session
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town
from nerfseg_ns.training.trainer import StagedTrainerConfig

VARIANT = "nerfseg-fast"
LABELLED = 4
"""Photos with labels, in the series of views and of image sizes."""
LABELLED_SHARE = 0.1
"""Share of the photos with labels, in the largest scene."""
PHOTO_SIZE = 256
"""Pixels of the photos in the series of views, at most."""
VIEWS = 100
"""Photos in the series of image sizes, at most."""
MAP_STRIDE = 2
"""Every n-th pixel of a map is timed both ways, but in the series of image sizes, and the time is scaled up."""
STEPS = 5
"""Steps that are timed of a session in a process of its own."""

Point = Dict[str, Measured]


class GrowthBench:
    """Measures the series.

    Args:
        config: of the bench.
        town: folder of the town.
        trained: finished run of nerfseg-fast on it.
        work: folder for what is not kept.
    """

    def __init__(self, config: BenchConfig, town: Path, trained: Path, work: Path) -> None:
        self.config, self.town, self.trained, self.work = config, town, trained, work
        self.device = device_type()
        self.large_town: Optional[Path] = None

    def run(self) -> Dict[str, List[Dict[str, Any]]]:
        """Measures every series.

        Returns:
            By series the points: `x` and the figures measured there; none where memory ran out.
        """
        measure: Dict[str, Callable[[int], Point]] = {
            "rays": self._rays,
            "samples": self._samples,
            "classes": self._classes,
            "views": self._views,
            "image_size": self._image_size,
            "largest": self._largest,
        }
        found: Dict[str, List[Dict[str, Any]]] = {}
        for series in self.config.growth:
            found[series] = []
            for x in self.config.series[series]:
                say_timed(f"Growth with {series.replace('_', ' ')}: {x}")
                figures = measure[series](x)
                known = {FIGURES[name]: measured for name, measured in figures.items() if name in FIGURES}
                say_timed(
                    "  " + ("; ".join(f"{n}: {amount(m.median, m.unit)}" for n, m in known.items()) or "out of memory")
                )
                gc.collect()
                figures_json = {name: measured.to_json() for name, measured in figures.items()}
                found[series].append({"x": x, "figures": figures_json})
        return found

    def _rays(self, rays: int) -> Point:
        """Rays of a step, and rays rendered at once."""
        config = variant_config(VARIANT, self.town, self.work, rays)
        config.pipeline.model.eval_num_rays_per_chunk = rays
        return self._measure_here(config)

    def _samples(self, samples: int) -> Point:
        """Samples of a ray, and twice as many at which the proposal grid is asked, as in the method."""
        config = variant_config(VARIANT, self.town, self.work, self.config.rays)
        geometry = config.pipeline.model.geometry
        geometry.num_proposal_samples = samples * geometry.num_proposal_samples // geometry.num_samples
        geometry.num_samples = samples
        return self._measure_here(config)

    def _classes(self, classes: int) -> Point:
        scene = reclassify(self.town, self.work / f"classes-{classes}", classes)
        return self._measure_here(variant_config(VARIANT, scene, self.work, self.config.rays))

    def _measure_here(self, config: StagedTrainerConfig) -> Point:
        """Steps and map in this process, on the trained geometry."""
        with quiet():
            session = Session(config)
            session.load(self.trained, labels=False)
            point = self._repeat({"stage1_step": lambda: session.run_stage(Stage.IMPLICIT)})
            session.load(self.trained, labels=False)
            first, _ = seconds_of(lambda: session.run_stage(Stage.SEMANTIC), self.device)
            jobs = {
                "stage2_step": lambda: session.run_stage(Stage.SEMANTIC),
                "map": lambda: session.render_labels(session.test_camera(self.config.map_size), MAP_STRIDE),
            }
            point = {**point, "stage2_first": Measured([[first]]), **self._repeat(jobs)}
        point["map"].scale_up(1 / MAP_STRIDE**2)
        return point

    def _repeat(self, jobs: Dict[str, Callable[[], Any]]) -> Point:
        return take_turns(jobs, 1, self.config.round_seconds, self.device)

    def _views(self, views: int) -> Point:
        size = min(PHOTO_SIZE, max(self.config.series["image_size"]))
        return self._measure_alone(size, views, min(LABELLED, views), render=False)

    def _image_size(self, size: int) -> Point:
        views = min(VIEWS, max(self.config.series["views"]))
        return self._measure_alone(size, views, min(LABELLED, views), render=True)

    def _largest(self, size: int) -> Point:
        views = max(self.config.series["views"])
        return self._measure_alone(size, views, max(1, round(LABELLED_SHARE * views)), render=False)

    def _measure_alone(self, size: int, views: int, labelled: int, render: bool) -> Point:
        """Start-up, steps, map and memory in a process of its own, on the town's photos enlarged to that size."""
        scene = enlarge(self._town_of_many_views(), self.work / f"{views}-views-{size}-px", size, views, labelled)
        task = Task(
            VARIANT,
            scene,
            self.work,
            self.config.rays,
            steps=STEPS,
            trained=self.trained,
            map_size=size if render else 0,
            threads=torch.get_num_threads(),
        )
        found = {name: Measured([values], _unit(name)) for name, values in measure_alone(task).items() if values}
        shutil.rmtree(scene, ignore_errors=True)
        return found

    def _town_of_many_views(self) -> Path:
        """The town of the same seed with enough views for all series, made when it is first needed."""
        if self.large_town is None:
            views = max(self.config.series["views"])
            town = TownConfig(
                seed=self.config.town.seed,
                image_size=self.config.town.image_size,
                train_views=views,
                validation_views=1,
                test_views=1,
                labelled_views=1,
                supersampling=1,
            )
            say_timed(f"Making the town with {views} views")
            with quiet():
                self.large_town = make_town(town, self.work / "town-of-many-views")
        return self.large_town


def _unit(figure: str) -> str:
    return "bytes" if "memory" in figure else "s"
