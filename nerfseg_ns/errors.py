"""The one error type for bad input: what was sought, where, and what to do about it."""


class SceneError(ValueError):
    """A scene on disk cannot be used as it is.

    The message names what was expected, the file or folder concerned and the remedy, so that it can be shown to the
    user as it stands.
    """
