"""Runs the check and prints what it found."""

from __future__ import annotations

from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape
from rich.table import Table

from nerfseg_ns.check.config import CheckConfig
from nerfseg_ns.check.count_files import count_files
from nerfseg_ns.check.facts import SceneFacts, SplitFacts, read_facts
from nerfseg_ns.check.sheet import write_sheet
from nerfseg_ns.console.train_command import train_command
from nerfseg_ns.core.device import device_type
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX


def check_scene(scene: Path, config: CheckConfig) -> None:
    """Checks a scene, prints what it is and writes the contact sheet.

    Args:
        scene: its folder.
        config: how it is read and what is left behind.

    Raises:
        UserError: training would fail; holds everything that was found wrong. Or the contact sheet cannot be written.
    """
    try:
        with CONSOLE.status("Reading the scene"):
            facts = read_facts(scene, config)
    except UserError:
        _print_files(scene)
        raise
    _print_scene(scene, facts)
    _print_splits(facts)
    _print_classes(facts)
    for note in facts.notes():
        CONSOLE.print(f"[yellow]Note:[/yellow] {escape(note)}", soft_wrap=True)
    if config.contact_sheet is not None:
        try:
            write_sheet(facts, config.contact_sheet)
        except (OSError, ValueError) as error:
            raise UserError(
                f"Cannot write the contact sheet {config.contact_sheet}: {error}. Choose another --contact-sheet (a "
                ".png), or None."
            ) from error
        CONSOLE.print(f"The contact sheet is in {escape(str(config.contact_sheet))}.", soft_wrap=True)
    command = train_command(scene, facts.dataparser, device_type(), config.dataparser_options())
    CONSOLE.print(f"[green]Training can start:[/green] {escape(command)}", soft_wrap=True)


def _print_files(scene: Path) -> None:
    """What lies in the folder of a scene that cannot be used."""
    table = Table("folder", "files", title=escape(f"{scene}: not usable yet"), title_justify="left")
    for folder, counts in count_files(scene):
        table.add_row(escape(folder), escape(", ".join(f"{count} {suffix}" for suffix, count in counts.items())))
    if table.row_count:
        CONSOLE.print(table)


def _print_scene(scene: Path, facts: SceneFacts) -> None:
    outputs = facts.splits[0].outputs
    rows = {
        "scene": f"{scene} ({facts.dataparser})",
        "photos": ", ".join(facts.sizes()) + f" pixels, {facts.camera_model()}",
        "scale": f"1 scene unit = {1 / outputs.dataparser_scale:.4g} units of the files; farthest camera at "
        f"{facts.farthest_camera():.3f} (below 1: inside the unit sphere)",
        "georeference": _georeference(facts),
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        grid.add_row(f"[bold]{name}", escape(value))
    CONSOLE.print(grid)


def _georeference(facts: SceneFacts) -> str:
    found = facts.georeference
    if found is None:
        return "none"
    frame, accuracy = found.frame, found.quality.words()
    return (
        f"origin {frame.latitude:.6f}, {frame.longitude:.6f} at {frame.altitude:.1f} m; 1 scene unit = "
        f"{found.metres_per_unit:.4g} m{'; good to ' + accuracy if accuracy else ''}"
    )


def _print_splits(facts: SceneFacts) -> None:
    table = Table("split", "views", "labelled", "labelled pixels")
    for split in facts.splits:
        table.add_row(split.name, *_split_row(split))
    CONSOLE.print(table)


def _split_row(split: SplitFacts) -> tuple[str, str, str]:
    pixels = split.class_pixels
    share = f"{100 * pixels[:IGNORE_INDEX].sum() / pixels.sum():.1f} % of these views" if len(split.pixels) else "–"
    return str(len(split.outputs.image_filenames)), str(len(split.pixels)), share


def _print_classes(facts: SceneFacts) -> None:
    table = Table("index", "class", "color", *(f"share in {split.name}" for split in facts.splits))
    for index, (name, color) in enumerate(zip(facts.table.names, facts.table.colors, strict=True)):
        swatch = "[on rgb({},{},{})]    [/] {}, {}, {}".format(*color, *color)
        table.add_row(str(index), escape(name), swatch, *(_share(split, index) for split in facts.splits))
    CONSOLE.print(table)


def _share(split: SplitFacts, index: int) -> str:
    pixels = split.class_pixels
    total = pixels[:IGNORE_INDEX].sum()
    return f"{100 * pixels[index] / total:.2f} %" if total else "–"
