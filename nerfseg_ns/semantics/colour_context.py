"""Name that the config.yml of runs of version 0.1 has for `color_context`."""

from nerfseg_ns.semantics.color_context import ColorContext as ColourContext
from nerfseg_ns.semantics.color_context import ColorContextConfig as ColourContextConfig

__all__ = ["ColourContext", "ColourContextConfig"]
