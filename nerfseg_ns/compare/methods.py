"""All that can be compared, as a table. Imports nothing heavy, so that the command line can read it at no cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Literal, Optional, Tuple

Kind = Literal["cnn", "eye", "radiance", "joint", "nerfw", "transfer"]
Geometry = Literal["nerfseg-fast", "nerfseg"]
Color = Literal["observed", "rendered"]
Extra = Literal["none", "maps", "truth"]


@dataclass(frozen=True)
class MethodInfo:
    """One row of the tables."""

    title: str
    """As the tables name it."""
    kind: Kind
    """Who runs it: `cnn` a network on single photos, `eye` the trained eye on single photos, `radiance` this project's
    method, `joint` Semantic-NeRF, `nerfw` semantic-nerfw, `transfer` the nearest label through the depth."""
    network: str = ""
    """Of a CNN: `unet`, `danet`, `deeplabv3` or `fpn`."""
    geometry: Optional[Geometry] = None
    """Method whose geometry is learnt or taken over."""
    ray_convolution: bool = True
    """R of the paper's Table III."""
    color_radiance: bool = True
    """C of the paper's Table III; of nerfseg-fast with its color context."""
    eye: bool = False
    """The trained eye, or its network tuned, takes part."""
    extra: Extra = "none"
    """Of a CNN: labels of the unlabelled training photos that are added to its training set: those that the method
    maps, or the true ones."""
    colors: Tuple[Color, ...] = ("rendered",)
    """What it is scored with: photos of the scored views (`observed`), or without them (`rendered`)."""

    @property
    def needs_geometry(self) -> bool:
        """Whether it starts from a learnt stage 1, which methods share."""
        return self.kind in ("radiance", "transfer")


_BOTH: Tuple[Color, ...] = ("rendered", "observed")
_PHOTO: Tuple[Color, ...] = ("observed",)

METHODS: Dict[str, MethodInfo] = {
    "unet": MethodInfo("U-Net", "cnn", "unet", colors=_PHOTO),
    "danet": MethodInfo("DANet", "cnn", "danet", colors=_PHOTO),
    "deeplabv3": MethodInfo("DeepLabv3", "cnn", "deeplabv3", colors=_PHOTO),
    "fpn": MethodInfo("feature pyramid, tuned", "cnn", "fpn", eye=True, colors=_PHOTO),
    "eye": MethodInfo("trained eye alone", "eye", eye=True, colors=_PHOTO),
    "seg-nerf-fast": MethodInfo("Seg-NeRF (planes)", "joint", geometry="nerfseg-fast"),
    "seg-nerf": MethodInfo("Seg-NeRF (NeRF++)", "joint", geometry="nerfseg"),
    "semantic-nerfw": MethodInfo("semantic-nerfw", "nerfw"),
    "transfer": MethodInfo("nearest label", "transfer", geometry="nerfseg-fast"),
    "fast-baseline": MethodInfo("nerfseg-fast, baseline", "radiance", "", "nerfseg-fast", False, False),
    "fast-r": MethodInfo("nerfseg-fast, +R", "radiance", "", "nerfseg-fast", True, False),
    "fast": MethodInfo("nerfseg-fast, +R+C", "radiance", geometry="nerfseg-fast", colors=_BOTH),
    "fast+eye": MethodInfo("nerfseg-fast, +R+C+eye", "radiance", geometry="nerfseg-fast", eye=True, colors=_BOTH),
    "paper-baseline": MethodInfo("nerfseg, baseline", "radiance", "", "nerfseg", False, False),
    "paper-r": MethodInfo("nerfseg, +R", "radiance", "", "nerfseg", True, False),
    "paper": MethodInfo("nerfseg, +R+C", "radiance", geometry="nerfseg", colors=_BOTH),
    "unet+maps": MethodInfo("U-Net, nerfseg-fast's maps", "cnn", "unet", extra="maps", colors=_PHOTO),
    "unet+truth": MethodInfo("U-Net, all true maps", "cnn", "unet", extra="truth", colors=_PHOTO),
    "deeplabv3+maps": MethodInfo("DeepLabv3, nerfseg-fast's maps", "cnn", "deeplabv3", extra="maps", colors=_PHOTO),
    "deeplabv3+truth": MethodInfo("DeepLabv3, all true maps", "cnn", "deeplabv3", extra="truth", colors=_PHOTO),
}
"""By the name that the command line and the files know it by."""

DEFAULT = (
    *("unet", "danet", "deeplabv3", "fpn", "eye", "seg-nerf-fast", "transfer"),
    *("fast-baseline", "fast-r", "fast", "fast+eye"),
)
"""What is compared unless other methods are named: all that is feasible on a CPU."""
GUIDED: Tuple[Geometry, ...] = ("nerfseg-fast",)
"""Methods whose stage 1 takes in the labels: with other labels it is another one."""
MAPS_FROM = "fast"
"""Method whose label maps are added to a CNN's training set."""
