"""Photos with their label maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset

from nerfseg_ns.errors import SceneError
from nerfseg_ns.labels.label_maps import LabelMaps


class LabelledDataset(InputDataset):
    """Adds `semantics` to every view: UInt8 [height, width, 1], IGNORE_INDEX where not labelled.

    nerfstudio's own SemanticDataset knows no unlabelled view, always gives a mask and takes colour labels for indices.

    Raises:
        SceneError: the dataparser gives no `LabelMaps` as `metadata["semantics"]`.
    """

    exclude_batch_keys_from_device = [*InputDataset.exclude_batch_keys_from_device, "semantics"]

    def __init__(self, dataparser_outputs: DataparserOutputs, scale_factor: float = 1.0):
        super().__init__(dataparser_outputs, scale_factor)
        if not isinstance(self.metadata.get("semantics"), LabelMaps):
            raise SceneError(
                "This dataparser reads no label maps. Choose one that does: carla-mvs-data or labelled-photos-data."
            )

    @property
    def label_maps(self) -> LabelMaps:
        """The split's label files and the scene's classes."""
        return self.metadata["semantics"]

    def get_numpy_image(self, image_idx: int) -> npt.NDArray[np.uint8]:
        """The photo, [height, width, 3]; an alpha channel is kept only if the dataparser has a colour to put behind."""
        try:
            image = super().get_numpy_image(image_idx)
        except OSError as error:
            raise SceneError(f"Cannot read the photo {self.image_filenames[image_idx]}: {error}") from error
        return image if self._dataparser_outputs.alpha_color is not None else image[..., :3]

    def get_metadata(self, data: dict) -> dict:
        """The label map, in the size of the image as loaded."""
        height, width = data["image"].shape[:2]
        return {"semantics": self.label_maps.read(data["image_idx"], height, width)}
