"""The viewer's button that has the labels read and learnt anew, and what came of it."""

from typing import Callable, Optional

from nerfstudio.viewer.viewer_elements import ViewerElement
from viser import ViserServer

from nerfseg_ns.viewer.markdown import ViewerMarkdown, plain

HINT = "Reads the scene's labels from their files again and learns them anew on the scene as it is learnt."


class LabelsButton(ViewerElement[bool]):
    """A button, hidden until someone offers to do what it says, and a notice below it.

    nerfstudio's own button calls its hook under the lock that training and rendering share, so that a press could wait
    for seconds; this one calls it at once.
    """

    def __init__(self) -> None:
        super().__init__("Learn the labels again", visible=False)
        self.notice = ViewerMarkdown("Labels", "")
        self._action: Optional[Callable[[], None]] = None

    def offer(self, action: Callable[[], None]) -> None:
        """Shows the button.

        Args:
            action: called when it is pressed, in a thread of the viewer's; should only pass the wish on.
        """
        self._action, self.visible = action, True
        if self.gui_handle is not None:
            self.gui_handle.visible = True

    def press(self) -> None:
        """What happens when the button is pressed."""
        if self._action is not None:
            self.notice.content = "Reading the labels ..."
            self._action()

    def tell(self, text: str) -> None:
        """Shows a plain text below the button, a paragraph for each of its lines."""
        self.notice.content = "\n\n".join(plain(line) for line in text.splitlines())

    def _create_gui_handle(self, viser_server: ViserServer) -> None:
        self.gui_handle = viser_server.gui.add_button(self.name, visible=self.visible, hint=HINT)
        self.gui_handle.on_click(lambda _: self.press())

    def install(self, viser_server: ViserServer) -> None:
        self._create_gui_handle(viser_server)
        self.notice.install(viser_server)
