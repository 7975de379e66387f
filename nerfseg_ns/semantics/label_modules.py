"""All that learns labels, as a config asks for it: made anew whenever the classes change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from torch import nn

from nerfseg_ns.eye.eye import make_eye
from nerfseg_ns.geometry.base import Geometry
from nerfseg_ns.semantics.color_context import ColorContextConfig
from nerfseg_ns.semantics.guidance import GuidanceConfig
from nerfseg_ns.semantics.height_opinion import HeightOpinionConfig
from nerfseg_ns.semantics.semantic_stage import SemanticStageConfig
from nerfseg_ns.semantics.taught_field import FieldEyeConfig, TaughtField


@dataclass
class LabelModulesConfig:
    """What learns labels, in stage 1 (guidance) and in stage 2 (all else)."""

    semantics: SemanticStageConfig = field(default_factory=SemanticStageConfig)
    """What stage 2 learns."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    """What the labels tell stage 1, if anything."""
    color_context: ColorContextConfig = field(default_factory=ColorContextConfig)
    """What the surroundings of a pixel in the image add to stage 2, if anything."""
    eye: FieldEyeConfig = field(default_factory=FieldEyeConfig)
    """What a network that was trained on other images adds to stage 2, if anything."""
    height: HeightOpinionConfig = field(default_factory=HeightOpinionConfig)
    """What the height above the ground says of the class, if anything."""


def make_label_modules(
    config: LabelModulesConfig, geometry: Geometry, num_classes: int, device: torch.device
) -> Dict[str, Optional[nn.Module]]:
    """Unlearnt modules.

    Args:
        config: which of them, and how large.
        geometry: that they stand on.
        num_classes: number of classes.
        device: that they are moved to.

    Returns:
        By the name that the model, and with it the checkpoint, has for them: `semantics`, `guidance`, `color_context`,
        `eye`, `taught`, `height`. None for what is left out; `semantics` never is.
    """
    options = {"levels": geometry.levels, "num_classes": num_classes}
    modules = {
        "semantics": config.semantics.setup(**options),
        "guidance": config.guidance.setup(**options) if config.guidance.weight > 0 else None,
        "color_context": _weighed(config.color_context, num_classes),
        "eye": make_eye(config.eye, num_classes),
        "taught": TaughtField(config.semantics, **options) if config.eye.teaches else None,
        "height": _weighed(config.height, num_classes) if _knows_up(config.height, geometry) else None,
    }
    return {name: None if module is None else module.to(device) for name, module in modules.items()}


def _weighed(config: ColorContextConfig | HeightOpinionConfig, num_classes: int) -> Optional[nn.Module]:
    """The module of a config, if it counts for anything."""
    return config.setup(num_classes=num_classes) if config.weight > 0 else None


def _knows_up(config: HeightOpinionConfig, geometry: Geometry) -> bool:
    """Whether the geometry has heights; says so where heights were asked for in vain."""
    knows = hasattr(geometry, "frame")
    if config.weight > 0 and not knows:
        CONSOLE.log(f"{type(geometry).__name__} does not know which way is up: heights are not used.")
    return knows
