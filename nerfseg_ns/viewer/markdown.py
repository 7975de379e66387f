"""Text in the viewer's control panel: the class legend and the state of the training."""

from typing import Sequence

from nerfstudio.viewer.viewer_elements import ViewerElement
from viser import ViserServer

from nerfseg_ns.core.stage import Stage


class ViewerMarkdown(ViewerElement[str]):
    """A block of markdown in the viewer, found and shown like nerfstudio's own elements.

    Args:
        name: of the element.
        content: the text; assign to `content` to change it.
    """

    def __init__(self, name: str, content: str) -> None:
        super().__init__(name)
        self._content = content

    @property
    def content(self) -> str:
        """The text shown."""
        return self._content

    @content.setter
    def content(self, content: str) -> None:
        if content != self._content:
            self._content = content
            if self.gui_handle is not None:
                self.gui_handle.content = content

    def _create_gui_handle(self, viser_server: ViserServer) -> None:
        self.gui_handle = viser_server.gui.add_markdown(self._content, visible=self.visible)

    def install(self, viser_server: ViserServer) -> None:
        self._create_gui_handle(viser_server)


def legend(names: Sequence[str], colors: Sequence[Sequence[int]]) -> str:
    """The classes with their colors, as markdown that viser shows with a swatch for each.

    Args:
        names: of the classes.
        colors: RGB, 0 to 255, one for each class.
    """
    swatch = '<span style={{{{background: "#{:02x}{:02x}{:02x}", padding: "0 0.8em", marginRight: "0.5em"}}}} />'
    return "\n\n".join(["**Classes**", *(swatch.format(*rgb) + plain(name) for name, rgb in zip(names, colors))])


def stage_text(stage: Stage, done: int, length: int) -> str:
    """Which stage is being trained, how far it is, and what to expect of the label outputs."""
    share = f"{done:,} of {length:,} steps ({100 * done // max(1, length)} %)"
    if stage is Stage.IMPLICIT:
        return f"**Stage 1 of 2: the scene** \n\n{share} \n\nLabels are still to come: they are learnt in stage 2."
    return f"**Stage 2 of 2: the labels** \n\n{share}"


def plain(text: str) -> str:
    """A text with the characters escaped that mean something in viser's markdown."""
    return "".join(f"&#{ord(letter)};" if letter in "<>{}*_`[]\\&" else letter for letter in text)
