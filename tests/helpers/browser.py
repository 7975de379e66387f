"""The viewer's page in a headless Chromium, driven by playwright: the system's browser, none is downloaded."""

from __future__ import annotations

import io
import re
import shutil
import time

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
"""WebGL without a graphics card, in a container too."""


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def wait_for(condition, what: str, seconds: float = 90):
    """Waits until a function returns something true, and returns that."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.2)
    return value


class Panel:
    """The control panel of nerfstudio's viewer in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.outputs = page.get_by_label("Output type", exact=True).and_(page.locator("input"))

    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def set_resolution(self, pixels: int) -> None:
        slider = self.page.locator("label").filter(has_text=re.compile("^Max res$")).get_attribute("for")
        box = self.page.locator(f"[id='{slider}']").locator("..").locator("input[type=text], input[inputmode]").first
        box.fill(str(pixels))
        box.blur()

    def press(self, button: str) -> None:
        """Clicks on a button of the panel."""
        self.page.get_by_role("button", name=button, exact=True).click()

    def output(self) -> str:
        return self.outputs.input_value()

    def open_outputs(self) -> Locator:
        """Opens the list of outputs and returns its entries."""
        self.outputs.click()
        entries = self.page.get_by_role("option").filter(visible=True)
        entries.first.wait_for()
        return entries

    def choose_output(self, name: str) -> None:
        self.open_outputs().get_by_text(name, exact=True).click()
        wait_for(lambda: self.output() == name, f"the output {name} to be chosen", 20)

    def screenshot(self) -> np.ndarray:
        """What the window shows, RGB uint8 [height, width, 3]."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def view(self) -> np.ndarray:
        """The part of the window that shows the scene."""
        picture = self.screenshot()
        return picture[80:-100, 20 : int(picture.shape[1] * 0.7)]
