"""All labelled pixels of the training photos, as rays."""

from typing import Dict, Iterator, List, Tuple

import numpy as np
import torch
from jaxtyping import Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

from nerfseg_ns.core.processes import shard
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.labels.classes import IGNORE_INDEX

Batch = Dict[str, Tensor]
"""What is known of the pixels that rays go through, by nerfstudio's names."""


class LabelledPixels:
    """Goes through the labelled photos one by one, so that only one of them is in memory.

    Of processes that train together, each has its share of every photo's pixels.

    Args:
        dataset: photos with labels.
        ray_generator: of their cameras.
    """

    def __init__(self, dataset: LabelledDataset, ray_generator: RayGenerator) -> None:
        self.dataset, self.ray_generator = dataset, ray_generator
        self.views = [*dataset.label_maps.labelled]
        self.counts = [len(self._pixels(dataset.get_bytes(view))) for view in self.views]

    def __len__(self) -> int:
        """Labelled pixels of all photos (of this process)."""
        return sum(self.counts)

    def share_out(self, count: int) -> List[Tuple[int, int]]:
        """So many pixels, chosen at random from all: as photo and number of pixels of it. Always the same choice."""
        random = np.random.default_rng(0)
        shares = random.multivariate_hypergeometric(self.counts, count, method="marginals")
        return [(view, int(share)) for view, share in zip(self.views, shares) if share]

    def rays(self, view: int, count: int, chunk: int) -> Iterator[Tuple[RayBundle, Batch]]:
        """Rays through so many of a photo's labelled pixels, chosen at random, always in the same way.

        Args:
            view: the photo.
            count: pixels.
            chunk: pixels at once.

        Returns:
            Rays, and their batch: `image` [rays, 3], the photo's colors, and `semantics` [rays, 1], class indices.
        """
        data = self.dataset.get_bytes(view)
        pixels = self._pixels(data)
        width = data["image"].shape[1]
        image, labels = data["image"].flatten(0, 1), data["semantics"].flatten(0, 1)
        shuffled = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(view))
        for chosen in pixels[shuffled[:count]].split(chunk):
            indices = torch.stack([torch.full_like(chosen, view), chosen // width, chosen % width], dim=-1)
            mask = torch.ones_like(chosen, dtype=torch.bool)[:, None]  # labelled pixels lie within it
            colors = self.dataset.colors(image[chosen], mask, view)
            yield self.ray_generator(indices), {"image": colors, "semantics": labels[chosen]}

    @staticmethod
    def _pixels(data: Dict[str, Tensor]) -> Int[Tensor, "pixels"]:
        """Positions of the labelled pixels in a flattened photo."""
        return shard((data["semantics"] != IGNORE_INDEX).flatten().nonzero()[:, 0])
