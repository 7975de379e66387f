"""The dataparser of a scene, with the options that a command was given for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig

from nerfseg_ns.dataparsers.specifications import SPECIFICATIONS
from nerfseg_ns.errors import UserError


def parser_config(name: str, scene: Path, options: Mapping[str, Any]) -> DataParserConfig:
    """The config of a dataparser.

    Args:
        name: that it is registered under.
        scene: to read.
        options: by the names of the config's fields.

    Raises:
        UserError: the dataparser has not an option that is given.
    """
    kind = type(SPECIFICATIONS[name].config)
    for key in options:
        if not hasattr(kind, key):
            raise UserError(f"--{key.replace('_', '-')} is no option of {name}, which {scene} is for. Leave it out.")
    return kind(data=scene, **options)
