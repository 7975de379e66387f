"""Which pixels a training batch is made of: any of all photos in stage 1, labelled ones only in stage 2.

For a stage 1 that labels guide see `guided_sampler`.
"""

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Dict, List, Optional, Tuple, Type, Union

import torch
from jaxtyping import Bool, Float, Int, UInt8
from nerfstudio.data.pixel_samplers import PixelSampler, PixelSamplerConfig
from torch import Tensor

from nerfseg_ns.core.processes import shard
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.labels.classes import IGNORE_INDEX

PER_PIXEL = ("image", "semantics", "mask")
POOL = 4
"""Pixels that are drawn for each that is chosen by its contrast."""
MAX_PREFERENCE = 4.0
"""Contrast, in means, from which on more makes no difference: the hardest edges are not all that there is."""


@dataclass
class StagedPixelSamplerConfig(PixelSamplerConfig):
    """Config of the pixel sampler that follows the stages."""

    _target: Type = field(default_factory=lambda: StagedPixelSampler)
    contrast_share: float = 0.0
    """How much stage 1 prefers pixels whose neighbours differ from each other, 0 to 1: edges teach it more than skies
    and lawns. 0 draws all pixels alike, as in the paper; 1 draws by the contrast alone and may never see a plain
    surface. Scenes with masks always draw all alike."""


class StagedPixelSampler(PixelSampler):
    """Draws pixels uniformly, from the labelled ones only while `stage` is the semantic one.

    Where a batch of images holds no labelled pixel at all, it draws from all of them; their labels are IGNORE_INDEX
    and the loss leaves them out.

    Attributes:
        stage: what the pixels are for.
        is_shared: several processes train together, all of them on these photos: in the semantic stage each draws from
            its own share of the labelled pixels.
    """

    stage: Stage = Stage.IMPLICIT
    is_shared: bool = False

    def __init__(self, config: StagedPixelSamplerConfig, **kwargs) -> None:
        super().__init__(config, **kwargs)
        self._candidates: Optional[Int[Tensor, "candidates"]] = None
        self._found_in: Union[Tensor, List[Tensor], None] = None

    def set_stage(self, stage: Stage) -> None:
        """Draws pixels for another stage; lets go of the photos that it drew from."""
        self.stage, self._found_in, self._candidates = stage, None, None

    def sample(self, image_batch: Dict) -> Dict:
        self._find_candidates(image_batch)
        if isinstance(image_batch["image"], list):
            return self._sample_list(image_batch)
        return super().sample(image_batch)

    def sample_method(
        self,
        batch_size: int,
        num_images: int,
        image_height: int,
        image_width: int,
        mask: Optional[Tensor] = None,
        device: Union[torch.device, str] = "cpu",
    ) -> Int[Tensor, "batch_size 3"]:
        if self._candidates is None:
            wanted = batch_size if mask is not None else self._pool_size(batch_size)
            pool = super().sample_method(wanted, num_images, image_height, image_width, mask, device)
            return self._choose(pool, batch_size)
        image, pixel = self._draw([image_height * image_width] * num_images, batch_size)
        return torch.stack([image, pixel // image_width, pixel % image_width], dim=-1).to(device)

    def _pool_size(self, count: int) -> int:
        """Pixels to draw so many from by their contrast; no more than these where contrast does not matter."""
        prefers = self.stage is Stage.IMPLICIT and self.config.contrast_share > 0 and self._candidates is None
        return POOL * count if prefers else count

    def _choose(self, pool: Int[Tensor, "pool 3"], count: int) -> Int[Tensor, "count 3"]:
        """Chooses so many of the drawn pixels by the contrast around them.

        Weighing a few drawn pixels takes no memory for the weights of all pixels of all photos.
        """
        if len(pool) == count:
            return pool
        contrast = local_contrast(self._found_in, pool)
        relative = (contrast / contrast.mean().clamp(min=1e-6)).clamp(max=MAX_PREFERENCE)
        share = self.config.contrast_share
        return pool[torch.multinomial(1 - share + share * relative + 1e-6, count).to(pool.device)]

    def _find_candidates(self, image_batch: Dict) -> None:
        """Finds the pixels to draw from, once for each batch of images, as indices into all its pixels.

        In stage 2 these are the labelled ones. In stage 1 nerfstudio looks after masks itself, but for lists of images.
        """
        images, labels, masks = (image_batch.get(key) for key in PER_PIXEL)
        if self._found_in is images:
            return
        self._found_in, self._candidates = images, None
        if self.stage is Stage.SEMANTIC and labels is not None:
            self._candidates = _indices([label != IGNORE_INDEX for label in labels], image_batch["image_idx"])
            if self._candidates is not None and self.is_shared:
                self._candidates = shard(self._candidates)
        if self._candidates is None and masks is not None and isinstance(images, list):
            self._candidates = _indices([mask.bool() for mask in masks], image_batch["image_idx"])

    def _draw(self, sizes: List[int], count: int) -> Tuple[Int[Tensor, "count"], Int[Tensor, "count"]]:
        """Random pixels, as the image's position and the pixel's within it, for images of so many pixels."""
        ends = torch.tensor(sizes).cumsum(0)
        if self._candidates is None:
            index = torch.randint(int(ends[-1]), (count,))
        else:
            index = self._candidates[torch.randint(len(self._candidates), (count,))].long()
        image = torch.searchsorted(ends, index, right=True)
        return image, index - (ends[image] - torch.tensor(sizes)[image])

    def _sample_list(self, image_batch: Dict) -> Dict:
        """A pixel batch from photos of different sizes, which come as lists."""
        images, count = image_batch["image"], self.num_rays_per_batch
        widths = torch.tensor([photo.shape[1] for photo in images])
        image, pixel = self._draw([photo.shape[0] * photo.shape[1] for photo in images], self._pool_size(count))
        pool = torch.stack([image, pixel // widths[image], pixel % widths[image]], dim=-1)
        image, row, column = self._choose(pool, count).unbind(dim=-1)
        order = image.argsort()
        image, pixel = image[order], (row * widths[image] + column)[order]
        present = image.unique().tolist()
        batch = {
            key: torch.cat([image_batch[key][i].flatten(0, 1)[pixel[image == i]] for i in present])
            for key in PER_PIXEL
            if image_batch.get(key) is not None
        }
        width = widths[image]
        camera = torch.as_tensor(image_batch["image_idx"]).cpu()[image]
        batch["indices"] = torch.stack([camera, pixel // width, pixel % width], dim=-1)
        return batch


def local_contrast(
    images: Union[UInt8[Tensor, "images height width channels"], List[UInt8[Tensor, "height width channels"]]],
    indices: Int[Tensor, "pixels 3"],
) -> Float[Tensor, "pixels"]:
    """Range of brightness, 0 to 255, within the 3 x 3 pixels around each pixel.

    Args:
        images: photos, as a list where their sizes differ.
        indices: image, row and column of each pixel.
    """
    if isinstance(images, list):
        contrast = torch.empty(len(indices))
        for image in indices[:, 0].unique().tolist():
            chosen = indices[:, 0] == image
            contrast[chosen] = local_contrast(
                images[image][None], indices[chosen] * indices.new_tensor([0, 1, 1])
            ).cpu()
        return contrast
    image, row, column = indices.to(images.device).unbind(dim=-1)
    steps = torch.arange(-1, 2, device=images.device)
    rows = (row[:, None, None] + steps[:, None]).clamp(0, images.shape[1] - 1)
    columns = (column[:, None, None] + steps).clamp(0, images.shape[2] - 1)
    brightness = images[image[:, None, None], rows, columns][..., :3].float().mean(dim=-1).flatten(1)
    return brightness.amax(dim=1) - brightness.amin(dim=1)


def _indices(
    chosen: List[Bool[Tensor, "height width 1"]], image_idx: Int[Tensor, "images"]
) -> Optional[Int[Tensor, "candidates"]]:
    """Flat indices of the chosen pixels of all images, as small as they fit; None where none is chosen.

    They are in the order of the photos' numbers: the photos in a batch are in another order in every process.
    """
    *starts, total = accumulate((mask.numel() for mask in chosen), initial=0)
    dtype = torch.int32 if total < 2**31 else torch.int64
    parts = [mask.flatten().nonzero()[:, 0].cpu().to(dtype) + start for mask, start in zip(chosen, starts)]
    indices = torch.cat([parts[i] for i in torch.as_tensor(image_idx).argsort().tolist()])
    return indices if len(indices) else None
