"""The viewer: its texts through the model, and the real page in a headless browser."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.browser import FLAGS, Panel, find_browser, wait_for
from helpers.commands import process_environment
from helpers.scenes import relabel
from nerfstudio.utils.colormaps import apply_colormap
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer_elements import ViewerElement
from playwright.sync_api import Browser, sync_playwright

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.viewer.markdown import legend, stage_text

OUTPUTS = ["rgb", "depth", "accumulation"]
OF_NERFSTUDIO = "gl_z_buf_depth"
LABEL_OUTPUTS = ["semantics_logits", "semantics_confidence", "semantics_overlay", "semantics_colormap"]

needs_browser = pytest.mark.skipif(find_browser() is None, reason="needs Chromium or Chrome on the PATH")


# texts and outputs, without a browser


def test_stage_text_tells_the_stage_and_its_progress():
    first, second = stage_text(Stage.IMPLICIT, 500, 2000), stage_text(Stage.SEMANTIC, 1000, 1000)
    assert "Stage 1 of 2" in first and "500 of 2,000 steps (25 %)" in first and "still to come" in first
    assert "Stage 2 of 2" in second and "1,000 of 1,000 steps (100 %)" in second and "still" not in second
    assert "(0 %)" in stage_text(Stage.SEMANTIC, 0, 0)


def test_legend_names_every_class_with_its_color():
    text = legend(["Tree", "{a}<b>*"], [(1, 2, 3), (255, 0, 16)])
    assert "Tree" in text and "#010203" in text and "#ff0010" in text
    assert "{a}" not in text and "<b>" not in text and "*" not in text.replace("**Classes**", "")


def test_the_viewer_finds_legend_and_stage(fast_pipeline):
    found = [element for _, element in parse_object(fast_pipeline, ViewerElement, "Custom Elements")]
    assert {fast_pipeline.model.viewer_stage, fast_pipeline.model.viewer_legend} <= set(found)


def test_a_finished_run_shows_that_it_is_finished(fast_pipeline):
    assert "Stage 2 of 2" in fast_pipeline.model.viewer_stage.content
    assert "100 of 100 steps (100 %)" in fast_pipeline.model.viewer_stage.content


@torch.no_grad()
def test_during_stage_1_labels_are_said_to_be_still_to_come(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 4, 3)
    model, text = trainer.pipeline.model, trainer.pipeline.model.viewer_stage
    assert "Stage 1 of 2" in text.content and "still to come" in text.content
    with torch.enable_grad():
        step_trainer(trainer, range(3))
    assert re.search(r"\b[23] of 4 steps", text.content)
    camera = trainer.pipeline.datamanager.eval_dataset.cameras[:1]
    model.eval()
    outputs = model.get_outputs_for_camera(camera)
    assert list(outputs) == [*OUTPUTS, *LABEL_OUTPUTS]
    assert torch.equal(outputs["semantics_overlay"], outputs["rgb"])
    grey = outputs["semantics_colormap"]
    assert torch.equal(grey, grey[..., :1].expand(-1, -1, 3))  # a grey view is no label map
    assert (outputs["semantics_confidence"] == 0).all()
    assert all(torch.isfinite(apply_colormap(output)).all() for output in outputs.values())
    with torch.enable_grad():
        step_trainer(trainer, range(3, 6))
    assert "Stage 2 of 2" in text.content and re.search(r"\b[12] of 3 steps", text.content)
    model.eval()
    labels = model.get_outputs_for_camera(camera)["semantics_colormap"].view(-1, 3)
    assert {tuple(color) for color in labels.tolist()} <= {tuple(color) for color in model.palette.tolist()}


# the real page


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(log: Path, command: str, *args):
    """Runs a command that serves the viewer's page; gives the page's address."""
    port = free_port()
    words = [Path(sys.executable).parent / command, *map(str, args)]
    words += ["--viewer.websocket-port", str(port), "--viewer.websocket-host", "127.0.0.1"]
    words += ["--viewer.image-format", "png"]  # a JPEG smears the colors
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=process_environment())

    def listens() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens, f"{command} to listen", 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str):
    """The viewer's page, connected and rendering at a low resolution."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    panel = Panel(page)
    wait_for(lambda: "Connected" in panel.text() and "Output type" in panel.text(), "the page to connect")
    panel.set_resolution(164)
    wait_for(lambda: panel.output() == "rgb", "a first rendered view")
    yield panel
    page.close()


@pytest.fixture(scope="module")
def viewer(fast_run, tmp_path_factory):
    """ns-viewer on the trained run: its address and the file that it logs to."""
    log = tmp_path_factory.mktemp("viewer") / "log.txt"
    with serve(log, "ns-viewer", "--load-config", fast_run) as address:
        yield address, log


@pytest.fixture(scope="module")
def panel(viewer, browser):
    """The page of ns-viewer."""
    with opened(browser, viewer[0]) as panel:
        yield panel


def share_of_colors(picture: np.ndarray, colors: np.ndarray) -> float:
    """Share of the pixels that have one of the colors; between two classes the browser blends them."""
    distance = np.abs(picture[..., None, :].astype(int) - colors.astype(int)).max(axis=-1).min(axis=-1)
    return float((distance <= 2).mean())


@needs_browser
def test_legend_shows_names_beside_their_colors(panel, small_town):
    table = ClassTable.load(small_town / "classes.json")
    wait_for(lambda: "Classes" in panel.text(), "the legend")
    swatches = panel.page.evaluate(
        """[...document.querySelectorAll('span')]
        .filter(one => /^rgb/.test(one.style.backgroundColor))
        .map(one => [one.parentElement.innerText.trim(), getComputedStyle(one).backgroundColor,
                     one.getBoundingClientRect().width, one.getBoundingClientRect().height])"""
    )
    assert [name for name, *_ in swatches] == list(table.names)
    assert [color for _, color, *_ in swatches] == [f"rgb({r}, {g}, {b})" for r, g, b in table.colors]
    assert all(width >= 10 and height >= 10 for *_, width, height in swatches)
    assert "Stage 2 of 2" in panel.text() and "Markdown Failed" not in panel.text()


@needs_browser
def test_label_colors_are_on_the_screen(panel, small_town):
    colors = ClassTable.load(small_town / "classes.json").color_array
    panel.choose_output("semantics_colormap")
    wait_for(lambda: share_of_colors(panel.view(), colors) > 0.4, "the label map on the screen", 60)
    picture = panel.view()
    shown = [share_of_colors(picture, colors[index : index + 1]) for index in range(len(colors))]
    assert sum(share > 0.01 for share in shown) >= 3


@needs_browser
def test_every_output_can_be_chosen_and_rendering_goes_on(panel, viewer, small_town):
    names = panel.open_outputs().all_inner_texts()
    assert [name for name in names if name != OF_NERFSTUDIO] == [*OUTPUTS, *LABEL_OUTPUTS]
    panel.page.keyboard.press("Escape")
    shown = panel.view()
    for name in names:
        panel.choose_output(name)
        wait_for(lambda before=shown: not np.array_equal(panel.view(), before), f"{name} on the screen", 60)
        shown = panel.view()
    assert "Connected" in panel.text()
    log = viewer[1].read_text()
    assert "Traceback" not in log and "Exception in thread" not in log, log[-3000:]
    colors = ClassTable.load(small_town / "classes.json").color_array
    panel.choose_output("semantics_colormap")  # once more, after all others: the thread that renders lives
    wait_for(lambda: share_of_colors(panel.view(), colors) > 0.3, "the label map on the screen again", 60)


@needs_browser
def test_labels_are_learnt_again_at_the_press_of_a_button(fast_run, small_town, browser, tmp_path):
    """A real ns-train whose viewer stays up after it: other labels and classes, then broken ones, then right ones."""
    town = shutil.copytree(small_town, tmp_path / "town")
    log, button = tmp_path / "log.txt", "Learn the labels again"
    stages = ["--pipeline.stages.implicit-steps", 150, "--pipeline.stages.semantic-steps", 60]
    flags = ["--machine.device-type", "cpu", "--output-dir", tmp_path, "--stage1-from", fast_run.parent]
    flags += ["--viewer.quit-on-train-completion", "False", "--pipeline.datamanager.train-num-rays-per-batch", 256]
    eye = {"steps": 20, "decoders": 1, "copies": 4, "least-side": 96, "least-skill": 0.0, "full-skill": 0.1}
    flags += [word for name, value in eye.items() for word in (f"--pipeline.model.eye.{name}", value)]
    with serve(log, "ns-train", "nerfseg-fast", *flags, *stages, "--data", town) as address:
        with opened(browser, address) as panel:
            wait_for(lambda: "60 of 60 steps" in panel.text(), "stage 2 to end", 120)
            before = ClassTable.load(town / "classes.json")
            assert all(name in panel.text() for name in before.names)
            panel.choose_output("semantics_colormap")
            relabel(town)
            now = ClassTable.load(town / "classes.json")
            gone = [index for index, name in enumerate(before.names) if name not in now.names]
            wait_for(lambda: share_of_colors(panel.view(), before.color_array) > 0.4, "the label map", 60)
            shown = panel.view()
            panel.press(button)
            wait_for(lambda: f"{len(now.names)} classes" in panel.text(), "the labels to be read again")
            wait_for(lambda: "60 of 60 steps" in panel.text(), "stage 2 to end again", 120)
            assert all(name in panel.text() for name in now.names)
            assert not any(before.names[index] in panel.text() for index in gone)
            wait_for(lambda: not np.array_equal(panel.view(), shown), "the new label map, unasked", 60)
            wait_for(lambda: share_of_colors(panel.view(), before.color_array[gone]) < 0.005, "old classes to go", 60)
            assert share_of_colors(panel.view(), now.color_array) > 0.4

            label = town / "train/label/0000.png"
            whole = label.read_bytes()
            label.write_bytes(b"no picture")
            panel.press(button)
            wait_for(lambda: "the old ones stay" in panel.text() and "0000.png" in panel.text(), "the refusal")
            label.write_bytes(whole)
            panel.press(button)
            wait_for(lambda: "the old ones stay" not in panel.text(), "the labels to be read once more")
            wait_for(lambda: "60 of 60 steps" in panel.text(), "stage 2 to end once more", 120)
            assert "Connected" in panel.text() and "Traceback" not in log.read_text()
