"""Options of the bench. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Dict, Literal, Optional, Tuple

import tyro

from nerfseg_ns.errors import ErrorCollector, UserError
from nerfseg_ns.town.config import TownConfig

Part = Literal["methods", "growth", "quality"]
Variant = Literal["paper", "nerfseg", "nerfseg-fast", "nerfseg-fast-plain"]
Series = Literal["rays", "samples", "classes", "views", "image_size", "largest"]

SERIES: Dict[str, Tuple[int, ...]] = {
    "rays": (256, 1024, 4096, 16384),
    "samples": (8, 16, 32, 64),
    "classes": (5, 20, 100),
    "views": (10, 50, 100, 200),
    "image_size": (128, 256, 512, 1024),
    "largest": (1024,),
}
"""The values that are measured; `largest` is an image size, with the largest number of views."""
QUICK_SERIES: Dict[str, Tuple[int, ...]] = {
    "rays": (16, 32),
    "samples": (8,),
    "classes": (5,),
    "views": (4, 6),
    "image_size": (16,),
    "largest": (),
}


@dataclass
class BenchConfig:
    """What is measured. All times are wall-clock, of this machine as it is: leave it alone meanwhile."""

    output_dir: Path = Path("nerfseg-bench")
    """Folder for bench.json, bench.md, bench.png, the town and the trained run. Must hold no other bench yet."""
    overwrite: bool = False
    """Replace the bench that is in the folder. Files that are not the bench's own are kept."""
    parts: Tuple[Part, ...] = ("quality", "methods", "growth")
    """methods: steps, map, start-up and memory side by side. growth: how nerfseg-fast grows with the size of the task.
    quality: mIoU over time. What is chosen is run in the order quality, methods, growth."""
    redraw: bool = False
    """Measure nothing: write the tables and the figure of the bench in the folder anew, as with another --compare."""
    compare: Optional[Path] = None
    """A bench.json of another version or machine; its figures stand in the tables and the figure as `before`."""
    quick: bool = False
    """Tiny sizes and a tiny town, to see whether it runs. The figures mean nothing."""
    methods: Tuple[Variant, ...] = ("paper", "nerfseg", "nerfseg-fast", "nerfseg-fast-plain")
    """What is set side by side: the yardstick (the paper's computation), the two methods, and nerfseg-fast with all
    that it leaves out or keeps switched off. Ratios need paper among them."""
    rays: int = 1024
    """Rays of a training step, the same for all methods."""
    map_size: int = 512
    """Width and height of the label map that is rendered, pixels."""
    map_stride: int = 0
    """paper and nerfseg render every n-th pixel of the map both ways, and the time is scaled up. 0 takes 16 on a
    CPU, where a whole map takes them many minutes, and 1 on a GPU."""
    rounds: int = 3
    """How often the methods take turns, so that what drifts on the machine hits all of them."""
    round_seconds: float = 1.0
    """How long a short job is repeated in each round, at most ten times; a long one runs once."""
    fast_run: Optional[Path] = None
    """A finished run of nerfseg-fast on this very town to measure on. Without one, it is trained here."""
    nerfseg_run: Optional[Path] = None
    """A finished run of nerfseg on a town of the same seed to measure on: its time depends on how much of the scene is
    known to be empty. Without one, it is trained here for --nerfseg-seconds."""
    implicit_steps: Optional[int] = None
    """Steps of stage 1 of nerfseg-fast where it is trained here; its own number unless given."""
    semantic_steps: Optional[int] = None
    """Steps of stage 2 of nerfseg-fast where it is trained here; its own number unless given."""
    nerfseg_seconds: float = 30.0
    """Training time of nerfseg where no run of it is given. It learns little in a minute; the output says how much."""
    nerfseg_labels: int = 4096
    """Labelled pixels that paper and nerfseg are given, about. nerfseg's first step of stage 2 renders the frozen
    geometry of each, which takes milliseconds a pixel on a CPU."""
    growth: Tuple[Series, ...] = ("rays", "samples", "classes", "views", "image_size", "largest")
    """What grows in the growth part: rays of a step, samples of a ray, classes, photos, their size; largest is the
    largest size with the largest number of photos."""
    quality_methods: Tuple[Literal["paper", "nerfseg", "nerfseg-fast"], ...] = ("nerfseg-fast",)
    """Whose mIoU over time is measured. nerfseg-fast is trained at its defaults; the others, which need a GPU and
    hours, with both stages shortened to --quality-seconds together."""
    quality_seconds: float = 600.0
    """Training time of the quality methods other than nerfseg-fast, seconds, each."""
    quality_seeds: Tuple[int, ...] = ()
    """Seeds of further towns that mIoU over time is measured on, beside the town's own."""
    town: TownConfig = field(default_factory=TownConfig)
    """The town that is learnt."""
    series: Annotated[Dict[str, Tuple[int, ...]], tyro.conf.Suppress] = field(default_factory=lambda: dict(SERIES))

    def check(self) -> None:
        """Checks the bench's own options; the town checks its own.

        Raises:
            UserError: options make no sense.
        """
        problems = ErrorCollector()
        for name, least in (("rays", 1), ("map_size", 8), ("map_stride", 0), ("rounds", 1), ("nerfseg_labels", 1)):
            if getattr(self, name) < least:
                problems.add(UserError(f"--{_option(name)} is {getattr(self, name)}; it must be at least {least}."))
        for name in ("implicit_steps", "semantic_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                problems.add(UserError(f"--{_option(name)} is {getattr(self, name)}; it must be at least 1."))
        for name in ("round_seconds", "nerfseg_seconds", "quality_seconds"):
            if not getattr(self, name) > 0:
                problems.add(UserError(f"--{_option(name)} is {getattr(self, name)}; give seconds above 0."))
        for name in ("parts", "methods", "growth"):
            if not getattr(self, name):
                problems.add(UserError(f"--{_option(name)} names nothing; leave it out to measure everything."))
        if self.town.layout != "carla-mvs":
            problems.add(
                UserError(f"The bench's town is in the Carla-MVS layout; leave out --town.layout {self.town.layout}.")
            )
        problems.raise_found()

    def resolved(self) -> "BenchConfig":
        """The options as they are run: `quick` puts tiny sizes where nothing else was asked for."""
        if not self.quick:
            return self
        tiny = dict(
            rays=16,
            map_size=32,
            map_stride=8,
            rounds=1,
            round_seconds=0.2,
            implicit_steps=30,
            semantic_steps=20,
            nerfseg_seconds=2.0,
            nerfseg_labels=64,
            quality_seconds=4.0,
            series=dict(QUICK_SERIES),
            town=TownConfig(
                seed=self.town.seed,
                image_size=32,
                train_views=8,
                validation_views=1,
                test_views=2,
                labelled_views=2,
                supersampling=1,
            ),
        )
        default = {item.name: getattr(BenchConfig(), item.name) for item in fields(BenchConfig)}
        unset = {name: value for name, value in tiny.items() if name == "town" or getattr(self, name) == default[name]}
        return replace(self, **unset)


def _option(name: str) -> str:
    return name.replace("_", "-")
