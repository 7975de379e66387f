"""What a geometry is to the rest of the program: rays in, rendered levels with per-sample features and weights out.

Letters used in the shapes: ``rays`` the rays of a batch, ``samples`` the samples on each ray (from near to far),
``feature`` the width of the location feature.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Sequence, Tuple, Type, Union

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.base_config import InstantiateConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor, nn
from torch.nn import Parameter


@dataclass
class RaySegment:
    """The samples of one stretch of every ray, as the semantic stage needs them."""

    features: Float[Tensor, "rays samples feature"]
    """Location feature of each sample."""
    positions: Float[Tensor, "rays samples 3"]
    """Where each sample is, in coordinates that bring the whole scene into [-1, 1]^3."""
    weights: Float[Tensor, "rays samples 1"]
    """Volume-rendering weights within the segment (they start from full transmittance at the segment's near end)."""
    transmittance: Float[Tensor, "rays 1"]
    """What the segments before this one let through."""

    def __getitem__(self, rays: Union[slice, Bool[Tensor, "rays"]]) -> "RaySegment":
        """The same stretch of some of the rays."""
        return RaySegment(*(getattr(self, item.name)[rays] for item in fields(self)))


@dataclass
class RenderedLevel:
    """One cascade level, rendered."""

    rgb: Float[Tensor, "rays 3"]
    """Color, composited over all segments and the background."""
    depth: Float[Tensor, "rays 1"]
    """Distance along the ray at which half of it is absorbed, in the units of the poses."""
    accumulation: Float[Tensor, "rays 1"]
    """Share of the ray, 0 to 1, that is absorbed within the scene: not by a sky or a background behind it."""
    segments: List[RaySegment]
    """From near to far."""
    proposals: Any = None
    """What a geometry keeps for its own losses."""


@dataclass
class LevelLayout:
    """Widths of a level, known before any ray is rendered, so that the semantic stage can be built."""

    feature_dims: Tuple[int, ...]
    """Width of the location feature in each segment, from near to far."""


@dataclass
class GeometryConfig(InstantiateConfig):
    """Base of the geometries' configs."""

    _target: Type = field(default_factory=lambda: Geometry)


class Geometry(nn.Module, ABC):
    """Density, color and location features of a scene (stage 1 of the method).

    A new geometry subclasses this, fills `levels` and implements the abstract methods; nothing else has to change.

    Attributes:
        levels: layout of the cascade levels, coarse to fine; the last one gives the outputs.
        frame: a `SceneFrame`, of geometries that know which way is up; others have none.
        rays_per_chunk: rays of a view that are rendered at once, by the type of the device: as many as a CPU's caches
            hold, and enough to keep a GPU busy.
    """

    levels: Tuple[LevelLayout, ...]
    rays_per_chunk: ClassVar[Dict[str, int]] = {"cpu": 1024, "cuda": 4096}

    @abstractmethod
    def forward(self, ray_bundle: RayBundle) -> List[RenderedLevel]:
        """Renders a bundle of rays, one entry a level."""

    @abstractmethod
    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        """Parameter groups of stage 1, by the name that the method config gives an optimizer for."""

    @abstractmethod
    def get_losses(
        self, levels: List[RenderedLevel], image: Float[Tensor, "rays 3"], step: int
    ) -> Dict[str, Float[Tensor, ""]]:
        """Losses of stage 1 against the observed colors."""

    def fit_to_scene(self, dataset: InputDataset, folders: Sequence[Path] = ()) -> None:
        """Takes over what has to be known of the scene before the first step; nothing by default.

        Args:
            dataset: posed photos.
            folders: of the run, where what took long to find is kept, and others where it may be from before.
        """

    def update_to_step(self, step: int) -> None:
        """Brings what changes with the training step up to date; nothing by default."""

    def freeze(self, frozen: bool) -> None:
        """Makes the geometry's parameters constants of stage 2, or trainable again."""
        self.requires_grad_(not frozen)


def composite(
    values: List[Float[Tensor, "rays channels"]], transmittances: List[Float[Tensor, "rays 1"]]
) -> Float[Tensor, "rays channels"]:
    """Adds up what the segments of a ray give, each dimmed by what lies before it."""
    return torch.stack([value * transmittance for value, transmittance in zip(values, transmittances)]).sum(dim=0)
