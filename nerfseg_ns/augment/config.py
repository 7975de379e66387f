"""Options of `nerfseg augment`. Imports nothing heavy, so that the command line can read it at no cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Tuple

from nerfseg_ns.errors import ErrorCollector, UserError


@dataclass
class AugmentConfig:
    """What the training set is made of."""

    load_config: Path
    """config.yml of a finished run of nerfseg or nerfseg-fast."""
    output_dir: Path = Path("nerfseg-augment")
    """Folder to write; must not exist yet, or be empty."""
    splits: Tuple[Literal["train", "val", "test"], ...] = ("train",)
    """Photos that are written, with a list of names for each split. Photos with labels of their own keep them, the
    others get the run's label maps; so leave val and test out if they have none and you want to score on them."""
    novel_views: int = 0
    """Rendered views that are added to the training photos, evenly spread between neighbouring ones. Their colors and
    labels are both the run's, so that they are softer than photos."""
    min_confidence: float = 0.8
    """Mapped pixels that the run is less sure of are marked as not labelled (255); 0 keeps all. On the demo's town, 0.8
    keeps 85 % of them, of which 98 % are right; lower it where thin things matter, which go first."""

    def check(self) -> None:
        """Checks the options.

        Raises:
            UserError: options make no sense, or the folder holds something.
        """
        problems = ErrorCollector()
        if not self.splits:
            problems.add(UserError("--splits names nothing; leave it out to take the training photos."))
        if len(set(self.splits)) < len(self.splits):
            problems.add(UserError(f"--splits {' '.join(self.splits)} names a split twice; once is enough."))
        if self.novel_views < 0:
            problems.add(UserError(f"--novel-views is {self.novel_views}; it must be at least 0."))
        if not 0 <= self.min_confidence <= 1:
            problems.add(UserError(f"--min-confidence is {self.min_confidence}; it must be a probability, 0 to 1."))
        if not self.load_config.is_file():
            problems.add(UserError(f"There is no file {self.load_config}. Name the config.yml of a trained run."))
        if self.output_dir.exists() and not self.output_dir.is_dir():
            problems.add(UserError(f"{self.output_dir} is a file; give another --output-dir."))
        if self.output_dir.is_dir() and any(self.output_dir.iterdir()):
            problems.add(UserError(f"{self.output_dir} is not empty; give another --output-dir, or remove this one."))
        problems.raise_found()
