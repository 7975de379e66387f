"""What runs of earlier versions call otherwise: fields of their config.yml, tensors of their checkpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, Tuple

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor

RENAMED_TENSORS: Tuple[Tuple[str, str], ...] = (
    (r"(_model\.(?:module\.)?)colour_context\.", r"\1color_context."),
    (r"(\.levels\.\d+\.)colour_radiance\.", r"\1color_radiance."),
    (r"(\.field\.)mlp_colour\.", r"\1mlp_color."),
    (r"(_model\.(?:module\.)?(?:semantics|taught\.stage)\.)levels\.", r"\1members.0.levels."),  # of one head
)
"""Parts of names in checkpoints of version 0.1, as regular expressions, and what they are now."""
DROPPED_TENSOR = "color_context.next_draw"
"""Number of the next patches in checkpoints of version 0.1, which now follows from the step."""


class OlderConfig:
    """Base of configs that older runs' config.yml files hold. Fields that came later have their defaults there."""

    renamed_fields: ClassVar[Mapping[str, str]] = {}
    """What a field was called in version 0.1, and its name now."""

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]  # every field has a default
        vars(self).update({self.renamed_fields.get(name, name): value for name, value in state.items()})


def rename_tensors(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """A pipeline's checkpoint with the names that its tensors have now; one of today stays as it is."""
    names = {name: _name_now(name) for name in state}
    return {now: state[name] for name, now in names.items() if not now.endswith(DROPPED_TENSOR)}


def _name_now(name: str) -> str:
    for old, new in RENAMED_TENSORS:
        name = re.sub(old, new, name)
    return name
