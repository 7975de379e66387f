"""Keeps the warnings of others off the terminal."""

import os
import sys
import warnings

OTHERS = r"(torch|nerfstudio|jaxtyping)($|\.)"
ON_IMPORT = "ignore::FutureWarning"
"""For the processes that are started: they import before they can be told."""


def filter_warnings() -> None:
    """Silences what torch and nerfstudio warn of in their own code, unless warnings were asked for."""
    if all(option == ON_IMPORT for option in sys.warnoptions):
        warnings.filterwarnings("ignore", module=OTHERS)
        os.environ.setdefault("PYTHONWARNINGS", ON_IMPORT)
