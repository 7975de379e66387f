"""The demo's report: one HTML file beside its pictures, readable straight from the disk."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple
from urllib.parse import quote

from nerfseg_ns.core.files import write_text
from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.demo.commands import next_commands
from nerfseg_ns.demo.config import DemoConfig
from nerfseg_ns.demo.evaluate import ViewPictures
from nerfseg_ns.demo.folder import DemoFolder
from nerfseg_ns.demo.style import CSS
from nerfseg_ns.demo.summary import percent, summary
from nerfseg_ns.labels.classes import ClassTable

MAX_VIEWS = 6
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nerfseg demo</title>
<style>STYLE</style>
</head>
<body><main>
BODY
</main></body>
</html>
"""
COLUMNS = {
    "photo": "Photo",
    "rendered": "Rendered",
    "prediction": "Predicted labels",
    "truth": "True labels",
    "errors": "Wrong pixels",
    "confidence": "Confidence",
    "depth": "Depth",
}
STEP_NAMES = {
    "town": "Making the town",
    "implicit": "Stage 1: geometry and colors",
    "semantic": "Stage 2: labels",
    "evaluate": "Evaluation of the test views",
    "render": "Label video",
    "total": "Total",
}


def write_report(
    folder: DemoFolder,
    config: DemoConfig,
    metrics: Dict[str, Any],
    table: ClassTable,
    views: Sequence[ViewPictures],
    device: Any,
) -> None:
    """Writes report.html; the pictures and the video it shows must be there.

    Args:
        folder: of the demo.
        config: of the demo.
        metrics: as in metrics.json.
        table: classes of the town.
        views: pictures of the test views; some of them, spread evenly, are shown.
        device: that the run was made on.
    """
    device = str(device).split(":")[0]
    town = config.town
    intro = (
        f"A town of {len(table)} classes, seen in {town.train_views} photos of {town.image_size} pixels, "
        f"{town.labelled_views} of them labelled; seed {town.seed}. nerfseg-fast learnt its geometry from all "
        f"photos and its labels from the labelled ones, on {'a GPU' if device == 'cuda' else 'the CPU'}. Everything "
        "below is rendered from views that it was not trained on."
    )
    body = [
        f"<h1>nerfseg demo</h1><p>{escape(intro)}</p>",
        _figures(metrics),
        _video(folder),
        _views(folder, table, [views[index] for index in evenly_spaced_indices(len(views), MAX_VIEWS)]),
        f'<div class="columns">{_classes(metrics, table)}{_times(metrics)}</div>',
        _commands(folder, device),
    ]
    write_text(folder.report, PAGE.replace("STYLE", CSS).replace("BODY", "\n".join(body)))


def _figures(metrics: Dict[str, Any]) -> str:
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in summary(metrics))
    return f'<section class="figures">{cells}</section>'


def _video(folder: DemoFolder) -> str:
    source = _link(folder, folder.video)
    return (
        "<section><h2>Labels along a new flight</h2><p>A turn around the town on a path where no photo was taken.</p>"
        f'<video src="{source}" controls autoplay loop muted playsinline></video>'
        '<div class="panels"><span>Rendered color</span><span>Labels over color</span><span>Labels</span></div>'
        "</section>"
    )


def _views(folder: DemoFolder, table: ClassTable, views: Sequence[ViewPictures]) -> str:
    heads = "".join(f'<div class="head">{title}</div>' for title in COLUMNS.values())
    images = "".join(
        f'<img src="{_link(folder, view.files[name])}" alt="{title}, view {escape(view.stem)}" title="{title}">'
        for view in views
        for name, title in COLUMNS.items()
    )
    classes = zip(table.names, table.colors, strict=True)
    legend = "".join(f"<li>{_swatch(color)}{escape(name)}</li>" for name, color in classes)
    return (
        "<section><h2>Test views</h2><p>Confidence is the probability of the chosen class, dark 0 to bright 1. Depth "
        f'is near dark and far bright.</p><div class="views">{heads}{images}</div>'
        f'<ul class="legend">{legend}</ul></section>'
    )


def _classes(metrics: Dict[str, Any], table: ClassTable) -> str:
    rows = []
    for name, color in zip(table.names, table.colors, strict=True):
        rendered, observed = metrics.get(f"iou/{name}"), metrics.get(f"observed/iou/{name}")
        bar = f'<i style="width:{100 * (rendered or 0):.1f}%"></i>'
        rows.append(
            f'<tr><td>{_swatch(color)}{escape(name)}</td><td class="bar">{bar}</td>'
            f'<td class="number">{percent(rendered)}</td><td class="number">{percent(observed)}</td></tr>'
        )
    rows.append(
        f'<tr class="sum"><td>Mean</td><td></td><td class="number">{percent(metrics.get("miou"))}</td>'
        f'<td class="number">{percent(metrics.get("observed/miou"))}</td></tr>'
    )
    return (
        "<section><h2>IoU by class</h2><p>Over all pixels of all test views; classified with the color that the model "
        "renders, and with the color that the photo shows.</p><table><tr><th>Class</th><th></th>"
        f'<th class="number">Rendered</th><th class="number">Observed</th></tr>{"".join(rows)}</table></section>'
    )


def _times(metrics: Dict[str, Any]) -> str:
    rows = "".join(
        f"<tr{' class=sum' if step == 'total' else ''}><td>{escape(STEP_NAMES.get(step, step))}</td>"
        f'<td class="number">{seconds:.1f} s</td></tr>'
        for step, seconds in metrics["seconds"].items()
    )
    return f"<section><h2>Time</h2><p>Wall clock, loading of the program included.</p><table>{rows}</table></section>"


def _commands(folder: DemoFolder, device: str) -> str:
    items = "".join(
        f'<p class="what">{escape(what)}</p><pre>{_unbroken(command)}</pre>'
        for what, command in next_commands(folder, device)
    )
    files = (
        f'Also in this folder: <a href="{_link(folder, folder.metrics)}">metrics.json</a>, the label maps as lossless '
        f'indexed PNGs (<a href="{_link(folder, folder.labels)}/">labels/</a>), the <a '
        f'href="{_link(folder, folder.camera_path)}">camera path</a>, the town and the run.'
    )
    return f"<section><h2>What to try next</h2><p>{files}</p>{items}</section>"


def _link(folder: DemoFolder, path: Path) -> str:
    return quote(path.relative_to(folder.root).as_posix())


def _unbroken(command: str) -> str:
    """A command that wraps between its words only, not at the hyphens within them."""
    return " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))


def _swatch(color: Tuple[int, int, int]) -> str:
    return f'<span class="swatch" style="background:rgb{tuple(color)}"></span>'
