"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table; all columns but the first ones are aligned right.

    Args:
        header: of the columns.
        rows: their cells.
        left: columns that are aligned left.
    """
    aligned = ["---" if index < left else "---:" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, aligned, *rows))
