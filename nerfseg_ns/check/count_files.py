"""What lies in a folder, for scenes that cannot be read as such."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

MAX_FOLDERS = 20
DEPTH = 3


def count_files(scene: Path) -> list[tuple[str, dict[str, int]]]:
    """Counts the files of a folder and its subfolders.

    Args:
        scene: a folder; of anything else nothing is listed.

    Returns:
        Name of each folder that holds files, three levels down and at most 20 of them, and how many there are by
        suffix (by name where there is only one), the most frequent first.
    """
    if not scene.is_dir():
        return []
    folders = [scene]
    for level in range(1, DEPTH + 1):
        folders += sorted(path for path in scene.glob("/".join("*" * level)) if path.is_dir())
    rows = []
    for folder in folders:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        counts = Counter(path.suffix.lower() or path.name for path in files)
        single = {path.suffix.lower() or path.name: path.name for path in files}
        named = {single[suffix] if count == 1 else suffix: count for suffix, count in counts.most_common()}
        if named:
            rows.append((str(folder.relative_to(scene)), named))
    return rows[:MAX_FOLDERS]
