"""Batches of stage 2 without rendering: the frozen geometry of the labelled rays is worked out once and kept."""

from dataclasses import dataclass
from typing import Callable, Iterator, Tuple

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor

from nerfseg_ns.data.labelled_pixels import Batch, LabelledPixels
from nerfseg_ns.semantics.cached_rays import CachedRays

MEGABYTE = 1_000_000


@dataclass
class RayCacheConfig:
    """Config of the labelled rays that are kept."""

    max_megabytes: int = 1024
    """Memory for the frozen geometry of labelled rays, on the device that trains. It saves rendering them anew in every
    step. Where they do not all fit, a random part of them is kept and exchanged bit by bit. 0 keeps none: slow steps,
    no memory."""
    refresh_rays: int = 64
    """Where not all labelled rays fit: rays that a step renders anew, each in place of one that was kept. More let
    stage 2 see more of the labels, and make its steps slower; 0 stays with the first choice."""
    rays_per_chunk: int = 4096
    """Rays rendered at once while they are prepared; less where memory is short."""


class RayCache:
    """Labelled rays with their frozen geometry in half precision, drawn at random.

    Args:
        config: how many to keep.
        pixels: all labelled pixels.
        freeze: renders a bundle of rays with the frozen geometry; the batch holds their `image` colors and `semantics`
            labels.
        fresh: draws labelled pixels at random, as rays and batch; asked only where not all labelled rays fit.
    """

    def __init__(
        self,
        config: RayCacheConfig,
        pixels: LabelledPixels,
        freeze: Callable[[RayBundle, Batch], CachedRays],
        fresh: Callable[[], Tuple[RayBundle, Batch]],
    ) -> None:
        self.config, self.total = config, len(pixels)
        self._freeze, self._fresh, self._oldest = freeze, fresh, 0
        self.kept = self._keep(pixels)

    def __len__(self) -> int:
        """Rays kept."""
        return len(self.kept)

    def describe(self) -> str:
        """What is kept, for the log."""
        share = "" if len(self) == self.total else f" of {self.total:,}, {self.config.refresh_rays} exchanged a step"
        size = f"{self.kept.num_bytes / MEGABYTE:,.0f} MB"
        return f"The geometry of {len(self):,} labelled rays{share} is kept ready: {size}."

    def draw(self, count: int) -> CachedRays:
        """So many rays, at random, in single precision."""
        if len(self) < self.total and self.config.refresh_rays > 0:
            self._exchange(min(self.config.refresh_rays, len(self)))
        chosen = torch.randint(len(self), (count,), device=self.kept.labels.device)
        return self.kept.map(lambda tensor: single_precision(tensor[chosen]))

    def _keep(self, pixels: LabelledPixels) -> CachedRays:
        """Renders as many rays as fit into the memory, a random choice where that is not all."""
        count = max(1, min(self.total, self.config.max_megabytes * MEGABYTE // self._one(pixels).num_bytes))
        shares, size = pixels.share_out(count), self.config.rays_per_chunk
        chunks = track(
            (chunk for view, share in shares for chunk in pixels.rays(view, share, size)),
            "Preparing labelled rays",
            total=sum(-(-share // size) for _, share in shares),
            console=CONSOLE,
            transient=True,
        )
        return _fill(count, (self._frozen(rays, batch) for rays, batch in chunks))

    def _one(self, pixels: LabelledPixels) -> CachedRays:
        """One labelled ray."""
        ((view, _),) = pixels.share_out(1)
        return self._frozen(*next(pixels.rays(view, 1, 1)))

    def _exchange(self, count: int) -> None:
        """Puts fresh rays in the place of those kept longest."""
        rays, batch = self._fresh()
        fresh = self._frozen(rays[:count], {key: values[:count] for key, values in batch.items()})
        places = (self._oldest + torch.arange(len(fresh), device=fresh.labels.device)) % len(self)
        for kept, new in zip(self.kept.tensors(), fresh.tensors()):
            kept[places] = new
        self._oldest = (self._oldest + len(fresh)) % len(self)

    @torch.no_grad()
    def _frozen(self, rays: RayBundle, batch: Batch) -> CachedRays:
        return self._freeze(rays, batch).map(half_precision)


@dataclass
class RenderedRays:
    """Labelled rays that are rendered anew whenever some are drawn: slow steps, no memory."""

    freeze: Callable[[RayBundle, Batch], CachedRays]
    """As for `RayCache`."""
    fresh: Callable[[], Tuple[RayBundle, Batch]]
    """Draws labelled pixels at random, as rays and batch, always equally many."""

    def draw(self, count: int) -> CachedRays:
        """So many rays, or all that are drawn at a time where these are fewer."""
        return self.freeze(*self.fresh()).map(lambda tensor: tensor[:count])


def _fill(count: int, parts: Iterator[CachedRays]) -> CachedRays:
    """Puts parts of so many rays together without ever holding them twice."""
    kept, start = None, 0
    for part in parts:
        if kept is None:
            kept = part.map(lambda tensor: tensor.new_empty(count, *tensor.shape[1:]))
        for whole, piece in zip(kept.tensors(), part.tensors()):
            whole[start : start + len(part)] = piece
        start += len(part)
    assert kept is not None and start == count
    return kept


def half_precision(tensor: Tensor) -> Tensor:
    """What is kept of a tensor: labels in a byte; others in half precision, but for vectors of three numbers.

    Those are positions, for which half precision is coarser than a voxel allows, and colors.
    """
    if not tensor.is_floating_point():
        return tensor.byte()
    return tensor if tensor.shape[-1] == 3 else tensor.half()


def single_precision(tensor: Tensor) -> Tensor:
    """What batches are made of: single precision, and labels as torch's losses want them."""
    return tensor.float() if tensor.is_floating_point() else tensor.long()
