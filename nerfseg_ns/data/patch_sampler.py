"""Patches of labelled photos, for networks that look at pixels together."""

from typing import Dict, Iterator, Mapping, Tuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.data.pixel_sampler import StagedPixelSampler
from nerfseg_ns.data.rendered_patches import RenderedPatch
from nerfseg_ns.labels.classes import IGNORE_INDEX

GAIN, OFFSET = 0.1, 0.05
"""How far a patch's colors are changed, channel by channel: a standard deviation of factor and addition."""


class PatchSampler:
    """Square patches of photos, each around a labelled pixel, some mirrored, with the light changed a little.

    A share of them has the colors that the learnt scene renders there, where these are known.

    Args:
        dataset: of the photos.
        batches: photos in memory, as `PhotoCache` gives them.
        sampler: draws as many labelled pixels as patches are wanted.
        size: pixels, both ways, of a patch.

    Attributes:
        rendered: parts of photos with rendered colors, by the number of the photo.
        rendered_share: probability that a patch is of such a part, if its pixel lies in one.
    """

    def __init__(
        self, dataset: LabelledDataset, batches: Iterator[Dict], sampler: StagedPixelSampler, size: int
    ) -> None:
        self.dataset, self.batches, self.sampler, self.size = dataset, batches, sampler, size
        self.rendered: Mapping[int, RenderedPatch] = {}
        self.rendered_share = 0.0

    def draw(self, number: int) -> Tuple[Float[Tensor, "patches 3 size size"], Int[Tensor, "patches size size"]]:
        """Patches and their class indices, IGNORE_INDEX where nothing is labelled.

        Args:
            number: of the draw. The same number gives the same patches (as long as all labelled photos are in memory):
                processes that train together learn from the same ones, so that what they count of them stays equal.
        """
        batch = next(self.batches)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(number)
            return self._draw(batch)

    def _draw(self, batch: Dict) -> Tuple[Tensor, Tensor]:
        positions = {view: position for position, view in enumerate(batch["image_idx"].tolist())}
        chosen = self.sampler.sample(batch)["indices"].tolist()
        images, labels = zip(*(self._patch(batch, positions[view], *pixel) for view, *pixel in chosen))
        return torch.stack(images), torch.stack(labels)

    def _patch(self, batch: Dict, position: int, row: int, column: int) -> Tuple[Tensor, Tensor]:
        """The patch of a photo that lies somewhere around a pixel."""
        rendered = self.rendered.get(int(batch["image_idx"][position]))
        if rendered is not None and rendered.holds(row, column) and torch.rand(()) < self.rendered_share:
            return self._cut_rendered(batch, position, rendered, row, column)
        height, width = batch["semantics"][position].shape[:2]
        place = self._around(row, height), self._around(column, width)
        mask = batch["mask"][position][place] if "mask" in batch else None
        image = self.dataset.colors(batch["image"][position][place], mask, int(batch["image_idx"][position]))
        return self._augment(image, self._labels(batch, position, place))

    def _cut_rendered(
        self, batch: Dict, position: int, rendered: RenderedPatch, row: int, column: int
    ) -> Tuple[Tensor, Tensor]:
        (height, width), (top, left) = rendered.colors.shape[:2], (rendered.top, rendered.left)
        rows, columns = self._around(row - top, height), self._around(column - left, width)
        place = slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)
        image = rendered.colors[rows, columns].to(batch["image"][position].device)
        return self._augment(image, self._labels(batch, position, place))

    def _labels(self, batch: Dict, position: int, place: Tuple[slice, slice]) -> Int[Tensor, "rows columns"]:
        """Class indices of a part of a photo."""
        return batch["semantics"][position][place][..., 0].long()

    def _around(self, place: int, length: int) -> slice:
        """So many pixels of a side, with a place somewhere in them; all where there are no more."""
        start = place - int(torch.randint(self.size, ()))
        start = max(0, min(start, length - self.size))
        return slice(start, min(length, start + self.size))

    def _augment(self, image: Float[Tensor, "rows columns 3"], labels: Tensor) -> Tuple[Tensor, Tensor]:
        image, labels = image.movedim(-1, 0), labels.to(image.device)
        if torch.rand(()) < 0.5:
            image, labels = image.flip(-1), labels.flip(-1)
        gain, offset = 1 + GAIN * torch.randn(3, 1, 1), OFFSET * torch.randn(3, 1, 1)
        image = image * gain.to(image.device) + offset.to(image.device)
        rest = (0, self.size - image.shape[-1], 0, self.size - image.shape[-2])
        return pad(image, rest), pad(labels, rest, value=IGNORE_INDEX)
