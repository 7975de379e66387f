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
        name: under which it is registered.
        scene: the one to read.
        options: by the names of the config's fields.

    Raises:
        UserError: an option is given that the dataparser does not have.
    """
    kind = type(SPECIFICATIONS[name].config)
    for key in options:
        if not hasattr(kind, key):
            raise UserError(f"--{key.replace('_', '-')} is not an option of {name}, which reads {scene}. Leave it out.")
    return kind(data=scene, **options)
