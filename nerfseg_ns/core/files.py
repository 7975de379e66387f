"""Writes files and folders so that they appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nerfseg_ns.errors import UserError


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Writes a file so that it appears whole or not at all.

    Args:
        path: of the file; its folder is made.
        write: writes the file to the path that it is given, which has the same suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Within it, all that cannot be written is one clear error.

    Args:
        place: folder that is written to.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write into {place}: {error.strerror or error} ({_free(place)} free there). Make room, or choose "
            "another place; what was finished before is whole."
        ) from error


def _free(place: Path) -> str:
    there = next((folder for folder in (place, *place.parents) if folder.is_dir()), Path("/"))
    return f"{shutil.disk_usage(there).free / 1e9:.2f} GB"


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Makes a folder that appears under its name only if the block ends without an error.

    Args:
        output: the folder to make; it must not exist yet, or be empty.

    Yields:
        The folder to write into, beside the final one.

    Raises:
        UserError: the place cannot be written to.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise UserError(f"Cannot write {output}: {error.strerror or error}. Choose another place.") from error
    try:
        yield beside
        beside.chmod(0o755)
        if output.exists():
            output.rmdir()
        os.replace(beside, output)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
