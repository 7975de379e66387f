"""Photos with their label maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int, UInt8
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.data_utils import get_image_mask_tensor_from_path
from torch import Tensor

from nerfseg_ns.data.label_cache import LabelCache
from nerfseg_ns.data.photo_exposures import PhotoExposures
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.label_maps import LabelMaps

KEPT_BYTES = 2**28
"""Of decoded label maps that are kept: several parts of stage 2, and evaluation, ask for each labelled photo."""
INTENSITIES = torch.from_numpy(np.arange(256, dtype=np.float32) / 255.0)
"""What nerfstudio's datasets make of each byte of a photo; a quotient taken elsewhere may differ in its last bit."""


class LabelledDataset(InputDataset):
    """Adds `semantics` to every view: UInt8 [height, width, 1], IGNORE_INDEX where not labelled or hidden by a mask.

    nerfstudio's own SemanticDataset knows no unlabelled view, always gives a mask and takes color labels for indices.

    Attributes:
        label_cache: decoded label maps; datasets of one scene may share it.
        exposures: bring photos to the scene's one exposure, once that is learnt; None before.

    Raises:
        UserError: the dataparser gives no `LabelMaps` as `metadata["semantics"]`.
    """

    exclude_batch_keys_from_device = [*InputDataset.exclude_batch_keys_from_device, "semantics"]

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        self.label_cache = LabelCache(KEPT_BYTES)
        self.exposures: PhotoExposures | None = None
        if not isinstance(self.metadata.get("semantics"), LabelMaps):
            raise UserError(
                "This dataparser reads no label maps. Choose one that does: carla-mvs-data or labelled-photos-data."
            )

    @property
    def label_maps(self) -> LabelMaps:
        """The split's label files and the scene's classes."""
        return self.metadata["semantics"]

    def get_numpy_image(self, image_idx: int) -> npt.NDArray[np.uint8]:
        """The photo, [height, width, 3]; an alpha channel is kept only if the dataparser has a color to put behind."""
        try:
            image = super().get_numpy_image(image_idx)
        except OSError as error:
            raise UserError(f"Cannot read the photo {self.image_filenames[image_idx]}: {error}") from error
        return image if self._dataparser_outputs.alpha_color is not None else image[..., :3]

    def get_bytes(self, image_idx: int) -> dict[str, Tensor]:
        """A view as it is kept in memory; `colors` makes of its pixels what `get_data` has.

        Returns:
            `image`: UInt8 [height, width, 3], or 4 with the alpha channel if the dataparser has a color to put behind.
            `semantics`: UInt8 [height, width, 1]. `mask`, where the scene has masks: Bool [height, width, 1].
        """
        image = np.ascontiguousarray(self.get_numpy_image(image_idx))
        if self._dataparser_outputs.alpha_color is not None and image.shape[-1] == 3:
            image = np.pad(image, ((0, 0), (0, 0), (0, 1)), constant_values=255)
        data = {"image": torch.from_numpy(image)}
        if self._dataparser_outputs.mask_filenames is not None:
            mask_file = self._dataparser_outputs.mask_filenames[image_idx]
            data["mask"] = get_image_mask_tensor_from_path(mask_file, self.scale_factor)
        return {**data, **self.get_metadata({**data, "image_idx": image_idx})}

    def get_neutral(self, image_idx: int) -> dict[str, Tensor]:
        """As `get_data`, the photo in the scene's one exposure where that is known."""
        data = self.get_data(image_idx)
        if self.exposures is not None:
            data["image"] = self.exposures.of(image_idx, data).neutral(data["image"])
        return data

    def colors(
        self,
        pixels: UInt8[Tensor, "*batch channels"],
        mask: Bool[Tensor, "*batch 1"] | None = None,
        views: int | Int[Tensor, "*batch"] | None = None,
    ) -> Float[Tensor, "*batch 3"]:
        """Colors of pixels drawn from `get_bytes`, equal to nerfstudio's float images to the last bit, but for their
        exposure, where that is known.

        Args:
            pixels: with their alpha channel, if they have one.
            mask: at these pixels, where the scene has masks.
            views: the photo that they are of, or for each the one that it is of; without it they stay as exposed.
        """
        colors = INTENSITIES.to(pixels.device)[pixels.int()]
        if colors.shape[-1] == 4:
            behind = self._dataparser_outputs.alpha_color.to(pixels.device)
            colors = colors[..., :3] * colors[..., 3:] + behind * (1.0 - colors[..., 3:])
        if self.mask_color and mask is not None:
            mask = mask.to(pixels.device)
            colors = torch.where(mask == 1.0, colors, torch.ones_like(colors) * colors.new_tensor(self.mask_color))
        return colors if self.exposures is None or views is None else self.exposures.neutral(colors, views)

    def get_metadata(self, data: dict) -> dict:
        """The label map, in the size of the image as loaded; nothing is labelled outside the photo's mask."""
        view, (height, width) = int(data["image_idx"]), data["image"].shape[:2]

        def decode() -> UInt8[Tensor, "height width 1"]:
            labels = self.label_maps.read(view, height, width)
            return labels.masked_fill(~data["mask"].bool(), IGNORE_INDEX) if "mask" in data else labels

        if self.label_maps.labels[view] is None:
            return {"semantics": self.label_maps.read(view, height, width)}
        return {"semantics": self.label_cache.get((self.image_filenames[view], height, width), decode)}
