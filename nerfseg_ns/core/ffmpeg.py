"""An ffmpeg for ns-render where the system has none."""

import os
import shutil
import tempfile
from pathlib import Path


def ensure_ffmpeg() -> None:
    """Puts the ffmpeg of the imageio-ffmpeg wheel on this process's PATH if there is no other.

    The wheel's binary carries a version in its name, so a link called `ffmpeg` is made in a folder of the user's.
    """
    if shutil.which("ffmpeg") is not None:
        return
    import imageio_ffmpeg

    binary = Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        folder = _link(binary, cache / "nerfseg" / "bin")
    except OSError:  # a home that cannot be written to
        folder = _link(binary, Path(tempfile.mkdtemp(prefix="nerfseg-")))
    os.environ["PATH"] = os.pathsep.join(filter(None, [os.environ.get("PATH"), str(folder)]))


def _link(binary: Path, folder: Path) -> Path:
    """A folder that holds a link `ffmpeg` to the binary, whatever it held before."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / ("ffmpeg.exe" if os.name == "nt" else "ffmpeg")
    if not (link.exists() and link.resolve() == binary):
        beside = folder / f".ffmpeg-{os.getpid()}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(binary)
        os.replace(beside, link)
    return folder
