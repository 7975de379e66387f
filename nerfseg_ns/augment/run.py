"""From a trained run to a training set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Dict, List

from nerfseg_ns.augment.config import AugmentConfig
from nerfseg_ns.augment.source import ImageSource
from nerfseg_ns.augment.training_set import TrainingSet
from nerfseg_ns.console.progress import progress_bar, say
from nerfseg_ns.core.files import new_folder
from nerfseg_ns.runs.load import load_run


def run_augment(config: AugmentConfig) -> Path:
    """Writes a training set, whole or not at all.

    Args:
        config: what it is made of.

    Returns:
        Its folder.

    Raises:
        UserError: an option makes no sense, the run cannot be used, or the folder holds something.
    """
    config.check()
    source = ImageSource(load_run(config.load_config), config)
    output = config.output_dir.expanduser().resolve()
    with new_folder(output) as folder:
        written = TrainingSet(folder, source.train.label_maps.table)
        with progress_bar("Mapping labels", len(source)) as tell:
            for done, item in enumerate(source, start=1):
                written.add(item)
                tell(done)
        facts = {"run": str(config.load_config.resolve().parent), "min_confidence": config.min_confidence}
        written.finish(source.splits, facts)
    _print_results(written.items, output)
    return output


def _print_results(items: List[Dict[str, Any]], output: Path) -> None:
    """How many there are of each kind, and where."""
    kinds = Counter((item["source"], item["labels"]) for item in items)
    names = {
        ("photo", "given"): "photos with their own labels",
        ("photo", "mapped"): "photos with mapped labels",
        ("novel view", "mapped"): "rendered views",
    }
    counts = ", ".join(f"{kinds[kind]} {name}" for kind, name in names.items() if kinds[kind])
    mapped = [item["labelled_share"] for item in items if item["labels"] == "mapped"]
    kept = f" Of the mapped pixels {100 * sum(mapped) / len(mapped):.1f} % are kept." if mapped else ""
    say(f"{counts}.{kept}\nimages/, labels/ and the lists are in {output}")
