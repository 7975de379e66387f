"""How the comparison writes numbers."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """A number of things, as in `1 seed` and `2 seeds`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
