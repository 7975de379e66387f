"""The photos that pixels are drawn from, in memory in bytes, as their files have them."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from nerfstudio.utils.misc import get_dict_to_torch
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.errors import UserError

MAX_THREADS = 16


class PhotoCache:
    """Batches of photos for a pixel sampler, in the place of nerfstudio's `CacheDataloader`.

    That one keeps photos as floats, and twice while it stacks them: 26 bytes a pixel with its label, here 4. Nothing is
    read before the first batch is asked for, and then only photos that are drawn from.

    Args:
        dataset: its photos.
        num_photos: in memory at a time; -1 for all of them.
        num_repeats: how often a batch of fewer photos is given again before others are read; -1 for ever.
        device: of all tensors but those in `exclude`.
        exclude: keys of the tensors that stay on the CPU.
    """

    def __init__(
        self,
        dataset: LabelledDataset,
        num_photos: int = -1,
        num_repeats: int = -1,
        device: torch.device | str = "cpu",
        exclude: Sequence[str] = ("image",),
    ) -> None:
        self.dataset, self.num_photos, self.num_repeats = dataset, num_photos, num_repeats
        self.device, self.exclude = device, list(exclude)
        self.views: Sequence[int] = range(len(dataset))
        self._batch: dict[str, Any] | None = None
        self._times_given = 0

    @property
    def holds_all(self) -> bool:
        """Whether all photos that are drawn from are in memory together."""
        return self.num_photos == -1 or self.num_photos >= len(self.views)

    def draw_from(self, views: Sequence[int]) -> None:
        """From the next batch on, gives only these photos. What is in memory of others is given up.

        Args:
            views: positions in the dataset.
        """
        if set(views) == set(self.views):
            return
        self.views = views
        if self._batch is not None:
            in_memory = self._batch["image_idx"].tolist()
            reusable = self.holds_all and set(views) <= set(in_memory)
            self._batch = _select(self._batch, [in_memory.index(view) for view in views]) if reusable else None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """A batch of photos.

        Returns:
            `image`, `semantics` and, where there are masks, `mask`, as in `LabelledDataset.get_bytes`, stacked, or in
            lists where the photos' sizes differ. `image_idx`: the photos' positions in the dataset.

        Raises:
            UserError: a photo, its mask or its labels cannot be read.
        """
        if self._batch is None or self._is_used_up():
            self._batch = None  # makes room first
            views = list(self.views)
            self._batch = self._read(views if self.holds_all else random.sample(views, k=self.num_photos))
            self._times_given = 0
        self._times_given += 1
        return self._batch

    def _is_used_up(self) -> bool:
        return not self.holds_all and self.num_repeats != -1 and self._times_given > self.num_repeats

    def _read(self, views: Sequence[int]) -> dict[str, Any]:
        first = self.dataset.get_bytes(views[0])
        batch = {key: self._make_room(value, len(views)) for key, value in first.items()}
        megabytes = len(views) * sum(value.nbytes for value in first.values()) / 1e6

        def read(position: int) -> None:
            view = self.dataset.get_bytes(views[position]) if position > 0 else first
            for key, value in view.items():
                self._put(batch[key], position, value, views)

        with ThreadPoolExecutor(min(MAX_THREADS, max(1, multiprocessing.cpu_count() - 1))) as threads:
            reading = threads.map(read, range(len(views)))
            title = f"Reading {len(views)} photos, {megabytes:,.0f} MB"
            for _ in track(reading, title, len(views), console=CONSOLE, transient=True):
                pass
        batch["image_idx"] = torch.tensor(views)
        return get_dict_to_torch(batch, device=self.device, exclude=self.exclude)

    def _make_room(self, value: Tensor, count: int) -> Tensor | list[Tensor]:
        """Where so many photos' values go: if they are of one size one tensor, so that none has to be stacked."""
        cameras = self.dataset.cameras
        one_size = len(cameras.width.unique()) == 1 and len(cameras.height.unique()) == 1
        return value.new_empty(count, *value.shape) if one_size else [value] * count

    def _put(self, room: Tensor | list[Tensor], position: int, value: Tensor, views: Sequence[int]) -> None:
        if isinstance(room, Tensor) and room[position].shape != value.shape:
            photo, first = (self.dataset.image_filenames[view] for view in (views[position], views[0]))
            raise UserError(
                f"{photo} is {value.shape[1]} x {value.shape[0]} pixels as loaded, {first} {room.shape[2]} x "
                f"{room.shape[1]}, but their cameras have one size. Bring the photos to their cameras' size."
            )
        room[position] = value


def _select(batch: dict[str, Any], positions: Sequence[int]) -> dict[str, Any]:
    """The photos of a batch at these positions."""
    return {
        key: [value[i] for i in positions] if isinstance(value, list) else value[torch.tensor(positions)]
        for key, value in batch.items()
    }
