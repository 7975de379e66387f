"""Where places of the scene are in photos: the inverse of nerfstudio's rays, lens distortion included."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor

from nerfseg_ns.errors import UserError

BORDER = 1.15
"""A distorted lens is a function of the angle only as far as the photo's corners, and somewhat beyond."""


@dataclass
class Projected:
    """Points in a photo."""

    pixels: Float[Tensor, "points 2"]
    """Column and row; 0.5 is the middle of the first pixel."""
    distance: Float[Tensor, "points"]
    """From the camera."""
    direction: Float[Tensor, "points 3"]
    """From the camera, of unit length."""
    inside: Bool[Tensor, "points"]
    """In front of the camera and within the photo."""


def can_project(cameras: Cameras) -> bool:
    """Whether all cameras are of a kind that `Projector` knows: perspective or fisheye."""
    return set(cameras.camera_type.flatten().tolist()) <= {CameraType.PERSPECTIVE.value, CameraType.FISHEYE.value}


class Projector:
    """Projects points of the trained scene into the photos of a dataset.

    Args:
        cameras: of the photos.

    Raises:
        UserError: they are neither perspective nor fisheye.
    """

    def __init__(self, cameras: Cameras) -> None:
        if not can_project(cameras):
            raise UserError("Places can be found in perspective and fisheye photos only; this scene has others.")
        self.cameras = cameras.to("cpu")
        self.origins = self.cameras.camera_to_worlds[:, :, 3].double()
        self.rotations = self.cameras.camera_to_worlds[:, :, :3].float()

    def __len__(self) -> int:
        return len(self.origins)

    def project(self, view: int, points: Float[Tensor, "points 3"]) -> Projected:
        """Where points are in a photo."""
        camera = self.cameras
        away = (points.double() - self.origins[view]).float()  # differences are exact enough, and half the work
        x, y, z = (away @ self.rotations[view]).unbind(dim=-1)
        ahead = -z  # nerfstudio's cameras look along their negative third axis
        plane = torch.stack([x, -y], dim=-1) / ahead.clamp(min=1e-9)[:, None]
        focal = torch.stack([camera.fx[view], camera.fy[view]], dim=-1).float()
        centre = torch.stack([camera.cx[view], camera.cy[view]], dim=-1).float()
        size = torch.stack([camera.width[view], camera.height[view]], dim=-1).float()
        reach = BORDER * (torch.maximum(centre, size - centre) / focal).norm()
        near_axis = (ahead > 0) & (plane.norm(dim=-1) < 2 * reach)
        pixels = self._distort(view, plane) * focal + centre
        inside = near_axis & (pixels >= 0).all(dim=-1) & (pixels < size).all(dim=-1)
        distance = away.norm(dim=-1)
        return Projected(pixels, distance, away / distance[:, None], inside)

    def _distort(self, view: int, plane: Float[Tensor, "points 2"]) -> Float[Tensor, "points 2"]:
        """Undistorted to distorted coordinates on the image plane at distance 1, as nerfstudio undoes it."""
        parameters = self.cameras.distortion_params
        k1, k2, k3, k4, p1, p2 = (0.0,) * 6 if parameters is None else parameters[view].double().tolist()
        radius = plane.norm(dim=-1, keepdim=True)
        if self.cameras.camera_type[view] == CameraType.FISHEYE.value:
            angle = torch.atan(radius)
            square = angle**2
            bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
            return plane * bent / radius.clamp(min=1e-12)
        square = radius**2
        radial = 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
        x, y = plane[:, :1], plane[:, 1:]
        tangential = torch.cat(
            [2 * p1 * x * y + p2 * (square + 2 * x**2), 2 * p2 * x * y + p1 * (square + 2 * y**2)], dim=-1
        )
        return plane * radial + tangential
