"""Options of the comparison. Imports nothing heavy, so that the command line can read it at no cost."""

import shlex
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Optional, Sequence, Tuple

import tyro

from nerfseg_ns.compare.methods import DEFAULT, METHODS
from nerfseg_ns.errors import ErrorCollector, UserError

Method = tyro.extras.literal_type_from_choices(METHODS)


@dataclass
class CompareConfig:
    """What is compared, how often, and on how many labels."""

    output_dir: Path = Path("nerfseg-compare")
    """Folder for the tables, the figure, the predictions and all that the jobs leave. Must hold nothing else yet. Give
    that of an earlier comparison to go on with it or to add to it: what is finished in it is not run again."""
    methods: Tuple[Method, ...] = DEFAULT
    """What is compared, in the order of the tables. With +maps, a network on single photos is given the label maps that
    `fast` makes of the unlabelled training photos; with +truth, their true labels, which only made scenes have. The
    methods on NeRF++ (seg-nerf and paper) want a GPU and hours."""
    seeds: Tuple[int, ...] = (0,)
    """Every method is trained once with each. Give two or more to see how far scores spread by chance."""
    labels: Tuple[int, ...] = (0,)
    """Numbers of labelled training photos that are learnt from, evenly chosen; 0: all that the scene has. Give several
    to see how many labels a method needs."""
    truth: Optional[Path] = None
    """Folder with a folder for each scene, named as the scene, of labels (PNGs, LabelMe or COCO JSONs) of further
    photos: methods learn from these photos without their labels, and are scored on them. Unless given, methods are
    scored on the labelled views that the scene holds out, which they do not see at all."""
    processes: int = 0
    """Jobs side by side, each with its share of the cores; 0: one for each core, or one alone where there is a GPU.
    Give fewer where memory is short: a job takes 1 to 3 GB."""
    implicit_steps: Optional[int] = None
    """Steps of stage 1, the geometry; each method's own number unless given. Fewer only to try the comparison out."""
    semantic_steps: Optional[int] = None
    """Steps of stage 2, the labels; each method's own number unless given."""
    cnn_epochs: Optional[int] = None
    """Most epochs of the networks on single photos; their own number unless given."""
    redraw: bool = False
    """Train nothing: write the tables and pictures of the finished jobs anew."""

    def check(self, scenes: Sequence[Path]) -> None:
        """Checks the options; the scenes themselves are checked where they are read.

        Args:
            scenes: their folders.

        Raises:
            UserError: options make no sense, or no scene is named.
        """
        problems = ErrorCollector()
        if not scenes:
            problems.add(UserError("No scene is named; give the folder of at least one."))
        for name in ("methods", "seeds", "labels"):
            for value, times in Counter(getattr(self, name)).items():
                if times > 1:
                    problems.add(UserError(f"--{name} names {value} {times} times; once is enough."))
            if not getattr(self, name):
                problems.add(UserError(f"--{name} names nothing; leave it out to take its default."))
        for name, value, least in self._numbers():
            if value < least:
                problems.add(UserError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}."))
        problems.raise_found()

    def command(self, scenes: Sequence[Path]) -> str:
        """The command line that asks for this comparison, ready for a shell."""
        words = ["nerfseg", "compare", *map(str, scenes)]
        for item in fields(self):
            value = getattr(self, item.name)
            if value != item.default and item.name != "redraw":
                values = value if isinstance(value, tuple) else (value,)
                words += [f"--{item.name.replace('_', '-')}", *map(str, values)]
        return shlex.join(words)

    def _numbers(self) -> list[tuple[str, int, int]]:
        """Name, value and least value of every number that is given."""
        numbers = [("processes", self.processes, 0)]
        numbers += [("seeds", seed, 0) for seed in self.seeds] + [("labels", count, 0) for count in self.labels]
        lengths = ("implicit_steps", "semantic_steps", "cnn_epochs")
        return numbers + [(name, getattr(self, name), 1) for name in lengths if getattr(self, name) is not None]
