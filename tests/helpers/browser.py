"""Drives a headless Chromium over its DevTools protocol, with nothing but the websockets that viser brings."""

from __future__ import annotations

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
)


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page of a headless browser, a context manager.

    Args:
        folder: for the browser's profile.
        width: of the window, pixels.
        height: of the window, pixels.
    """

    def __init__(self, folder: Path, width: int = 1400, height: int = 1100) -> None:
        self._folder = folder
        self._size = f"--window-size={width},{height}"
        self._ids = itertools.count(1)
        self.log: list[str] = []
        """What the page wrote to its console, exceptions included."""

    def __enter__(self) -> Page:
        browser = find_browser()
        assert browser is not None
        command = [browser, *FLAGS, self._size, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port_file = self._folder / "DevToolsActivePort"
            wait_for(lambda: port_file.exists() and len(port_file.read_text().split()) == 2, "the browser to start")
            port = port_file.read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as reply:
                target = next(entry for entry in json.load(reply) if entry["type"] == "page")
            self._socket = connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=30, proxy=None)
            self.call("Page.enable")
            self.call("Runtime.enable")
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *exception) -> None:
        try:
            self.call("Browser.close")
            self._socket.close()
        finally:
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def call(self, method: str, **parameters) -> dict:
        """Calls a method of the DevTools protocol and returns its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            if message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.log.append(json.dumps(message["params"]))

    def evaluate(self, expression: str):
        """Value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, address: str) -> None:
        """Goes to an address."""
        self.call("Page.navigate", url=address)

    def click(self, expression: str) -> None:
        """Clicks, with a real mouse event, into the middle of the element that a JavaScript expression gives."""
        box = self.evaluate(
            f"(() => {{ const element = {expression}; element.scrollIntoView({{block: 'center'}});"
            "const box = element.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def replace_text(self, expression: str, text: str) -> None:
        """Types a text over the content of the input element that a JavaScript expression gives, and leaves it."""
        self.click(expression)
        self.evaluate(f"{expression}.select()")
        self.call("Input.insertText", text=text)
        self.evaluate(f"{expression}.blur()")

    def screenshot(self) -> np.ndarray:
        """What the window shows, RGB uint8 [height, width, 3]."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def wait_for(condition, what: str, seconds: float = 90):
    """Waits until a function returns something true, and returns that."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.2)
    return value
