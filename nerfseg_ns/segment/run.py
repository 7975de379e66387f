"""From a scene with a few labelled photos to the label map of every photo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional

from nerfseg_ns.console.progress import progress_bar, say
from nerfseg_ns.segment.config import SegmentConfig
from nerfseg_ns.segment.eye_source import EyeSource
from nerfseg_ns.segment.mapped_folder import MappedFolder
from nerfseg_ns.segment.source import PhotoSource


def run_segment(scene: Optional[Path], config: SegmentConfig) -> Path:
    """Writes label map, confidence and overlay of every photo.

    Args:
        scene: its folder; may be left out where a run is named.
        config: how.

    Returns:
        The folder that they are in.

    Raises:
        UserError: options, photos or labels are not usable.
    """
    config.check(scene)
    source = _make_source(scene, config)
    output = MappedFolder(config.output_dir.expanduser().resolve(), source.table, source.digest)
    output.open()
    waiting = [picture for picture in source.pictures if not output.has(picture.name)]
    start = time.time()
    if waiting:
        source.ready()
        labelled = sum(picture.label is not None for picture in source.pictures)
        seconds, start = time.time() - start, time.time()
        say(f"{source.learnt} of {labelled} labelled photos, {len(source.table)} classes ({seconds:.0f} s).")
        with progress_bar("Mapping labels", len(waiting)) as tell:
            for done, picture in enumerate(waiting, start=1):
                photo = picture.read()
                drawn = picture.read_labels(source.table, (photo.shape[1], photo.shape[0]))
                output.write(picture.name, photo, source.map(picture, photo), drawn)
                tell(done)
    kept = len(source.pictures) - len(waiting)
    again = f" {kept} were there already." if kept else ""
    each = f", {(time.time() - start) / len(waiting):.1f} s each" if waiting else ""
    say(f"{len(waiting)} photos mapped{each}.{again}\nlabels/, confidence/ and overlay/ are in {output.folder}")
    return output.folder


def _make_source(scene: Optional[Path], config: SegmentConfig) -> PhotoSource:
    """Who maps: the eye alone, or the run that is named."""
    if config.load_config is None:
        return EyeSource(scene, config)
    from nerfseg_ns.segment.run_source import RunSource  # late: it brings nerfstudio's training

    return RunSource(scene, config)
