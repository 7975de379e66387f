"""Keeps nerfstudio off the terminal."""

from contextlib import contextmanager
from typing import Iterator

import rich
from nerfstudio.utils.rich_utils import CONSOLE


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps nerfstudio's own words off the terminal; it speaks through two consoles."""
    consoles = (CONSOLE, rich.get_console())
    before = [console.quiet for console in consoles]
    for console in consoles:
        console.quiet = True
    try:
        yield
    finally:
        for console, was_quiet in zip(consoles, before):
            console.quiet = was_quiet
