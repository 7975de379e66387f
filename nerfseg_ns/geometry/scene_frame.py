"""The frame of an aerial scene: a slab of ground seen from above, normalised to the cube that the grids cover.

An aerial scene is a thin slab far below (or beside) the cameras. Sampling rays only where they cross the slab is what
makes a few samples a ray enough, and what keeps matter from growing in front of the lenses.
"""

from typing import Tuple

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

from nerfseg_ns.geometry.ground_plane import plane_normal, rotation_upright

MIN_POINTS = 50
OUTER = 6.0
"""Reach of the frame sideways, in half-sizes of its core; what lies outside the core is contracted."""
SHELL = 0.3
"""Width that what lies outside the core is contracted to, in half-sizes of the core."""


class SceneFrame(nn.Module):
    """An oriented box around the scene: third axis up, the first two along the ground.

    In box coordinates the core of the scene is [-1, 1]^3. Sideways the frame goes on to 6 half-sizes, contracted as in
    mip-NeRF 360 (equation 10, with the maximum norm over the two ground axes), so that surroundings have their
    place. Their shell is given 0.3 half-sizes, not 1: the cells of a grid are better spent on the core.
    """

    rotation: Float[Tensor, "3 3"]
    centre: Float[Tensor, "3"]
    half_size: Float[Tensor, "3"]
    fitted: Bool[Tensor, ""]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rotation", torch.eye(3))
        self.register_buffer("centre", torch.zeros(3))
        self.register_buffer("half_size", torch.ones(3))
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def thickness(self) -> Float[Tensor, ""]:
        """Height of the slab."""
        return 2 * self.half_size[2]

    def describe(self) -> str:
        """What the frame covers, for the log."""
        x, y, z = (2 * self.half_size).tolist()
        return f"The scene spans {x:.2f} x {y:.2f} along the ground and {z:.2f} upwards, in units of the poses."

    def fit_to_dataset(self, dataset: InputDataset, points: Float[Tensor, "points 3"]) -> None:
        """Lays the frame around what is known of a scene, or where so little is known, around what the photos look at.

        Args:
            dataset: posed photos.
            points: on the scene's surfaces, outliers allowed.
        """
        if len(points) < MIN_POINTS:
            CONSOLE.print(
                f"[yellow]Only {len(points)} points of the scene could be matched between the photos: its extent is "
                "guessed from where the cameras look. Are the poses right, and do the photos overlap?"
            )
            points = points_looked_at(dataset.cameras)
        self.fit(points, dataset.cameras.camera_to_worlds[:, :, 3].cpu().float())

    @torch.no_grad()
    def fit(self, points: Float[Tensor, "points 3"], origins: Float[Tensor, "cameras 3"]) -> None:
        """Lays the frame around points.

        Args:
            points: on the scene's surfaces, outliers allowed.
            origins: camera centres; they tell which side is up.
        """
        rotation = slab_rotation(points, origins)
        lower, upper = _robust_bounds(points @ rotation.T)
        self.rotation.copy_(rotation)
        self.half_size.copy_((upper - lower) / 2)
        self.centre.copy_(rotation.T @ ((upper + lower) / 2))
        self.fitted.fill_(True)

    def distance_behind(self, origins: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays 1"]:
        """A distance at which the core of the scene certainly lies behind one."""
        return (origins - self.centre).norm(dim=-1, keepdim=True) + self.half_size.norm()

    def to_box(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions in box coordinates, not contracted."""
        return self._rotate(positions - self.centre) / self.half_size

    def to_grid(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions in grid coordinates, [-1, 1]^3, with what lies beside the core contracted."""
        box = self.to_box(positions)
        ground, height = box[..., :2], box[..., 2:]
        norm = ground.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
        contracted = ground * (1.0 + SHELL * (1.0 - 1.0 / norm)) / norm
        return torch.cat([contracted / self._limit, height], dim=-1).clamp(-1.0, 1.0)

    def lengths_in_grid(self, length: float) -> Tuple[float, float, float]:
        """A length of the world along each axis in grid coordinates, in the core of the scene."""
        x, y, z = (length / self.half_size).tolist()
        return x / self._limit, y / self._limit, z

    @property
    def _limit(self) -> float:
        """Where the contraction takes the frame's border, in half-sizes of the core."""
        return 1.0 + SHELL * (1.0 - 1.0 / OUTER)

    def intersect(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> Tuple[Float[Tensor, "rays 1"], Float[Tensor, "rays 1"], Bool[Tensor, "rays 1"]]:
        """Where rays enter and leave the frame, and whether they leave through the ground of the core.

        Returns:
            Distances of entry and exit (both 0 where the ray misses the frame), and the mask.
        """
        origin = self.to_box(origins)
        direction = self._rotate(directions) / self.half_size
        direction = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
        bound = direction.new_tensor([OUTER, OUTER, 1.0])
        t0, t1 = (-bound - origin) / direction, (bound - origin) / direction
        near = torch.minimum(t0, t1).amax(dim=-1, keepdim=True).clamp(min=0.0)
        far = torch.maximum(t0, t1).amin(dim=-1, keepdim=True)
        # A ray along the horizon enters the slab's height millions of units away. Samples there would have lengths of
        # either sign, from rounding alone, and losses without bounds; samples at 0 have none.
        hits = far > near
        near, far = near * hits, far * hits
        leave = origin + far * direction
        through_ground = hits & (leave[..., 2:] < -0.999) & (leave[..., :2].abs().amax(-1, keepdim=True) < 1.0)
        return near, far, through_ground

    def _rotate(self, vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Turns vectors into the frame, in single precision: autocast would take a matrix product to half."""
        with torch.autocast(vectors.device.type, enabled=False):
            return vectors @ self.rotation.T


def slab_rotation(points: Float[Tensor, "points 3"], origins: Float[Tensor, "cameras 3"]) -> Float[Tensor, "3 3"]:
    """Rotation into a frame whose third axis is up.

    Up is the normal of the plane that most points lie near, on the cameras' side; the world's z axis where the points
    are no slab (they spread half as far along the normal as within the plane, or farther). The first axis is the
    world's x axis (or y, where x is nearly up) laid into the ground.
    """
    centre = points.median(dim=0).values
    up = plane_normal(points)
    height = ((points - centre) @ up).abs().quantile(0.9)
    if height > 0.5 * (points - centre).norm(dim=-1).quantile(0.9):
        up = torch.tensor([0.0, 0.0, 1.0])
    elif (origins.mean(dim=0) - centre) @ up < 0:
        up = -up
    return rotation_upright(up)


def with_known_points(dataset: InputDataset, matched: Float[Tensor, "points 3"]) -> Float[Tensor, "more 3"]:
    """Points matched between photos, and the sparse points that the dataparser has read, if any."""
    known = dataset.metadata.get("points3D_xyz")
    return matched if known is None else torch.cat([matched, known.float().cpu()])


def points_looked_at(cameras: Cameras) -> Float[Tensor, "points 3"]:
    """A guess of where the ground is: along the views' corners and centres, as far as the views' axes nearly meet.

    Axes that are parallel meet nowhere; the spread of the cameras then stands for the distance.
    """
    poses = cameras.camera_to_worlds.cpu().float()
    origins, forward = poses[:, :, 3], -poses[:, :, 2]
    across = torch.eye(3) - forward[:, :, None] * forward[:, None, :]
    system, target = across.sum(dim=0), (across @ origins[:, :, None]).sum(dim=0)
    meets = torch.linalg.eigvalsh(system)[0] > 0.05 * len(poses)
    spread = (origins - origins.mean(dim=0)).norm(dim=-1).max().clamp(min=1e-3)
    distance = (torch.linalg.solve(system, target)[:, 0] - origins).norm(dim=-1) if meets else spread.expand(len(poses))
    height, width = float(cameras.height.max()), float(cameras.width.max())
    points = []
    for y, x in ((0.5, 0.5), (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9)):
        coords = torch.tensor([y * height, x * width]).expand(len(poses), 2)
        rays = cameras.generate_rays(torch.arange(len(poses))[:, None], coords=coords)
        points.append(rays.origins.cpu() + rays.directions.cpu() * distance[:, None])
    return torch.cat(points)


def _robust_bounds(local: Float[Tensor, "points 3"]) -> Tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Bounds without outliers and with a margin: little below the ground, more above it for what no point saw."""
    quantiles = [(0.02, 0.98, 0.05, 0.05), (0.02, 0.98, 0.05, 0.05), (0.005, 0.995, 0.15, 0.25)]
    bounds = []
    for axis, (low, high, below, above) in enumerate(quantiles):
        lower, upper = local[:, axis].quantile(low), local[:, axis].quantile(high)
        size = upper - lower
        bounds.append(torch.stack([lower - below * size, upper + above * size]))
    lower, upper = torch.stack(bounds, dim=1)
    return lower, upper
