"""Steps, label map, start-up and memory of the methods, side by side."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch

from nerfseg_ns.bench.config import BenchConfig
from nerfseg_ns.bench.isolated_process import Task, measure_alone
from nerfseg_ns.bench.scenes import labelled_pixels, thin_labels
from nerfseg_ns.bench.variants import METHOD_OF, PLAIN, variant_config
from nerfseg_ns.console.quiet import quiet
from nerfseg_ns.console.timed_lines import say_timed
from nerfseg_ns.core.device import device_type
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.measurement.timing import Measured, seconds_of, take_turns
from nerfseg_ns.measurement.units import amount
from nerfseg_ns.runs.session import Session

IMPORT = "import nerfstudio.scripts.train"
"""What every ns-* command has to import, the plugins' methods included."""
MEGABYTE = 1_000_000
HEAVY = 0.01
"""Weight of a sample that counts as one that matters."""

Figures = Dict[str, Dict[str, Measured]]


class MethodsBench:
    """Measures the methods on one town.

    Args:
        config: of the bench.
        town: folder of the town.
        trained: finished run of each method.
        work: folder for what is not kept.
    """

    def __init__(self, config: BenchConfig, town: Path, trained: Dict[str, Path], work: Path) -> None:
        self.config, self.trained, self.work = config, trained, work
        self.device = device_type()
        self.stride = config.map_stride or (16 if self.device == "cpu" else 1)
        thinned = thin_labels(town, work / "few-labels", config.nerfseg_labels)
        self.scenes = {"nerfseg": thinned, "nerfseg-fast": town}
        self.figures: Figures = {}

    def run(self) -> Dict[str, Any]:
        """Measures everything.

        Returns:
            `figures`: by figure and variant; `agreement`: share of the map's pixels with the same label as without
            leaving anything out; `geometry`: what is known of the geometries that it was measured on.
        """
        sessions = {variant: self._session(variant) for variant in self.config.methods}
        self._measure_alone()
        self._take_turns("stage1_step", {v: lambda s=s: s.run_stage(Stage.IMPLICIT) for v, s in sessions.items()})
        for variant, session in sessions.items():
            self._load(variant, session)  # what stage 1 just learnt is no part of it
        geometry = {method: self._facts(sessions[method], method) for method in self.trained if method in sessions}
        self._measure_stage2(sessions)
        for method, facts in geometry.items():
            facts["kept_bytes"] = sessions[method].kept_bytes
        agreement = self._measure_map(sessions)
        return {
            "figures": {f: {v: m.to_json() for v, m in found.items()} for f, found in self.figures.items()},
            "agreement": agreement,
            "geometry": geometry,
        }

    def _session(self, variant: str, megabytes: Optional[int] = None) -> Session:
        """A session on the variant's scene, where asked for with another bound on the labelled rays' memory."""
        config = variant_config(variant, self.scenes[METHOD_OF[variant]], self.work, self.config.rays)
        if megabytes is not None:
            config.pipeline.labelled_rays.max_megabytes = megabytes
        session = Session(config)
        self._load(variant, session)
        return session

    def _load(self, variant: str, session: Session) -> None:
        with quiet():
            session.load(self.trained[METHOD_OF[variant]])

    def _facts(self, session: Session, method: str) -> Dict[str, float]:
        """What the times of a method depend on."""
        return {"heavy_samples": heavy_samples(session), "labels": labelled_pixels(self.scenes[method])}

    def _measure_alone(self) -> None:
        """Import, start-up and memory, each in processes of their own, in turns."""
        imports = Measured([])
        for index in range(self.config.rounds):
            say_timed(f"Import of ns-train, {index + 1} of {self.config.rounds}")
            imports.rounds.append([import_seconds()])
            for variant in self.config.methods:
                say_timed(
                    f"Start-up{' and memory' if index == 0 else ''} of {variant}, {index + 1} of {self.config.rounds}"
                )
                self._record_alone(variant, stages=index == 0)
        self.figures["import"] = {"": imports}

    def _record_alone(self, variant: str, stages: bool) -> None:
        method = METHOD_OF[variant]
        task = Task(
            variant,
            self.scenes[method],
            self.work,
            self.config.rays,
            stages,
            trained=self.trained[method],
            map_size=self.config.map_size,
            map_stride=self.stride,
            threads=torch.get_num_threads(),
        )
        for figure, values in measure_alone(task).items():
            if figure == "start_up" or "memory" in figure and figure != "memory_start_up":
                unit = "bytes" if "memory" in figure else "s"
                self.figures.setdefault(figure, {}).setdefault(variant, Measured([], unit)).rounds.append(values)

    def _measure_stage2(self, sessions: Dict[str, Session]) -> None:
        step = {v: lambda s=s: s.run_stage(Stage.SEMANTIC) for v, s in sessions.items()}
        self.figures["stage2_first"] = {}
        for variant, job in step.items():
            say_timed(f"First step of stage 2: {variant}")
            with quiet():
                self.figures["stage2_first"][variant] = Measured([[seconds_of(job, self.device)[0]]])
        self._take_turns("stage2_step", step)
        self._measure_bounded({v: s.kept_bytes // (2 * MEGABYTE) for v, s in sessions.items()})

    def _measure_bounded(self, megabytes: Dict[str, int]) -> None:
        """Steps of stage 2 where half of the labelled rays that it keeps ready fit into the memory."""
        bounded = {variant: self._session(variant, bound) for variant, bound in megabytes.items() if bound > 0}
        with quiet():
            for session in bounded.values():
                session.run_stage(Stage.SEMANTIC)  # readies the labelled rays
        if bounded:
            self._take_turns("stage2_bounded", {v: lambda s=s: s.run_stage(Stage.SEMANTIC) for v, s in bounded.items()})

    def _measure_map(self, sessions: Dict[str, Session]) -> Dict[str, float]:
        """Times the map and compares the labels of each method with those of its plain form, on the same weights."""
        for method, plain in PLAIN.items():
            if method in sessions and plain in sessions:
                sessions[plain].model.load_state_dict(sessions[method].model.state_dict())
        strides = {v: self.stride if METHOD_OF[v] == "nerfseg" else 1 for v in sessions}
        maps: Dict[str, torch.Tensor] = {}

        def render(variant: str) -> None:
            session = sessions[variant]
            maps[variant] = session.render_labels(session.test_camera(self.config.map_size), strides[variant])

        shares = {
            v: (math.ceil(self.config.map_size / stride) / self.config.map_size) ** 2 for v, stride in strides.items()
        }
        self._take_turns("map", {variant: lambda variant=variant: render(variant) for variant in sessions}, shares)
        pairs = [(method, plain) for method, plain in PLAIN.items() if method in maps and plain in maps]
        return {method: float((maps[method] == maps[plain]).float().mean()) for method, plain in pairs}

    def _take_turns(
        self, figure: str, jobs: Dict[str, Callable[[], Any]], shares: Optional[Dict[str, float]] = None
    ) -> None:
        """Times jobs of the variants, of which each may do a share of the work only."""

        def said(variant: str, index: int) -> None:
            say_timed(f"{figure.replace('_', ' ')}, round {index + 1} of {self.config.rounds}: {variant}")

        def silent(job: Callable[[], Any]) -> Callable[[], Any]:
            def run() -> None:
                with quiet():
                    job()

            return run

        jobs = {variant: silent(job) for variant, job in jobs.items()}
        measured = take_turns(jobs, self.config.rounds, self.config.round_seconds, self.device, said)
        for variant, share in (shares or {}).items():
            measured[variant].scale_up(share)
        self.figures[figure] = measured
        say_timed("  " + ", ".join(f"{variant} {amount(m.median, m.unit)}" for variant, m in measured.items()))


def import_seconds() -> float:
    """Wall-clock seconds that a new interpreter takes to import what an ns-* command imports."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORT]
    return seconds_of(lambda: subprocess.run(command, check=True, capture_output=True), "cpu")[0]


@torch.no_grad()
def heavy_samples(session: Session) -> float:
    """Samples of a ray that weigh more than 0.01 on the finest level: what a trained geometry has few of."""
    camera = session.test_camera(16)
    rays = camera.to(session.trainer.pipeline.device).generate_rays(camera_indices=0, keep_shape=True).flatten()
    session.trainer.pipeline.eval()
    segments = session.model.geometry(rays)[-1].segments
    heavy: List[torch.Tensor] = [
        (segment.weights * segment.transmittance[:, None] > HEAVY).float().sum(dim=1) for segment in segments
    ]
    return float(sum(heavy).mean())
