"""Photos as ideal cameras of few pixels would have taken them: what is matched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.data_utils import get_image_mask_tensor_from_path

from nerfseg_ns.core.projection import Projector

OPENCV_AXES = np.diag([1.0, -1.0, -1.0])
"""From OpenCV's camera axes (right, down, ahead) to nerfstudio's (right, up, backward)."""


@dataclass
class PinholeView:
    """A photo without lens distortion, its principal point in the middle."""

    grey: Float[np.ndarray, "height width"]
    """Brightness, 0 to 255, single precision."""
    valid: Bool[np.ndarray, "height width"]
    """Where the photo shows something, and no mask hides it."""
    matrix: Float[np.ndarray, "3 3"]
    """Camera matrix; the middle of the first pixel is at (0, 0)."""
    rotation: Float[np.ndarray, "3 3"]
    """From camera axes (right, down, ahead) to the world's."""
    origin: Float[np.ndarray, "3"]
    """Camera centre."""

    @property
    def focal(self) -> float:
        """Focal length, in pixels."""
        return float(self.matrix[0, 0])

    def directions(self) -> Float[np.ndarray, "height width 3"]:
        """Of the pixels' rays in the world, 1 long along the camera's axis."""
        rows, columns = np.indices(self.grey.shape)
        pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
        return pixels @ (self.rotation @ np.linalg.inv(self.matrix)).T

    def project(
        self, points: Float[np.ndarray, "height width 3"]
    ) -> tuple[Float[np.ndarray, "height width 2"], Float[np.ndarray, "height width"]]:
        """Column and row of points, and how far ahead they are."""
        seen = (points - self.origin) @ (self.rotation @ self.matrix.T)
        ahead = seen[..., 2]
        return seen[..., :2] / np.where(np.abs(ahead) < 1e-9, 1e-9, ahead)[..., None], ahead


def load_view(dataset: InputDataset, projector: Projector, view: int, side: int) -> PinholeView:
    """Reads a photo and takes its lens distortion out.

    Args:
        dataset: posed photos.
        projector: of its cameras.
        view: index of the photo.
        side: pixels of the longer side, at most.
    """
    empty = _empty_view(dataset.cameras, view, side)
    height, width = empty.grey.shape
    photo = np.ascontiguousarray(dataset.get_numpy_image(view)[..., :3])
    found = projector.project(view, torch.from_numpy(empty.origin + empty.directions().reshape(-1, 3)))
    full = np.array([float(dataset.cameras.width[view]), float(dataset.cameras.height[view])])
    lookup = found.pixels.numpy().reshape(height, width, 2) * [width, height] / full - 0.5

    def straight(image: UInt8[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "height width"]:
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return cv2.remap(small, lookup.astype(np.float32), None, cv2.INTER_LINEAR)

    grey = straight(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)).astype(np.float32)
    valid = found.inside.numpy().reshape(height, width)
    masks = dataset._dataparser_outputs.mask_filenames
    if masks is not None:
        shown = get_image_mask_tensor_from_path(masks[view])[..., 0].numpy().astype(np.uint8)
        valid &= straight(shown * 255) == 255
    return replace(empty, grey=grey, valid=valid)


def _empty_view(cameras: Cameras, view: int, side: int) -> PinholeView:
    """The ideal camera, before it sees anything."""
    full = float(cameras.width[view]), float(cameras.height[view])
    scale = min(1.0, side / max(full))
    width, height = (max(16, round(length * scale)) for length in full)
    focal = float(cameras.fx[view]) * width / full[0]
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    pose = cameras.camera_to_worlds[view].cpu().double().numpy()
    nothing = np.zeros((height, width), np.float32)
    return PinholeView(nothing, nothing > 0, matrix, pose[:, :3] @ OPENCV_AXES, pose[:, 3])
