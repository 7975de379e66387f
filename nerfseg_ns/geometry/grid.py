"""The geometry of `nerfseg-fast`: feature planes over the slab of an aerial scene, with proposed samples."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Dict, List, Literal, Optional, Sequence, Tuple, Type

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.model_components.losses import MSELoss, distortion_loss, interlevel_loss
from nerfstudio.model_components.ray_samplers import ProposalNetworkSampler, UniformSampler
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter

from nerfseg_ns.core.older_runs import OlderConfig
from nerfseg_ns.geometry.base import Geometry, GeometryConfig, LevelLayout, RaySegment, RenderedLevel
from nerfseg_ns.geometry.dense.known_surface import KnownSurface, find_surface
from nerfseg_ns.geometry.depth import median_depth
from nerfseg_ns.geometry.depth_rays import DepthRays, find_depth_rays
from nerfseg_ns.geometry.depth_supervision import depth_supervision_loss
from nerfseg_ns.geometry.grid_field import GridField, ProposalGrid, Sky
from nerfseg_ns.geometry.scene_frame import MIN_POINTS, SceneFrame, with_known_points


@dataclass
class GridGeometryConfig(OlderConfig, GeometryConfig):
    """Feature planes, a proposal grid, few samples: minutes on a CPU."""

    renamed_fields = {
        "sparse_weight": "depth_ray_weight",
        "num_sparse_rays": "num_depth_rays",
        "sparse_tolerance": "depth_tolerance",
    }

    _target: Type = field(default_factory=lambda: GridGeometry)
    resolutions: Tuple[int, ...] = (64, 128, 256, 512)
    """Cells of the feature planes along the ground, one entry a scale. Raise the last one for large photos."""
    height_ratio: float = 0.25
    """Cells of the feature planes upwards, as a share of those along the ground."""
    components: int = 8
    """Features of each scale of the planes."""
    width: int = 64
    """Width of the small MLPs and of the location feature that the labels are learnt on."""
    proposal_resolution: Tuple[int, int] = (128, 32)
    """Cells of the proposal grid along the ground and upwards."""
    num_proposal_samples: int = 32
    """Samples of a ray at which the proposal grid is asked."""
    num_samples: int = 16
    """Samples of a ray at which the field is asked. More for tall scenes."""
    anneal_steps: int = 500
    """Steps over which samples go from evenly spread to where the proposal grid wants them."""
    distortion_weight: float = 0.002
    """Weight of the distortion loss (mip-NeRF 360), which gathers a ray's matter in one place."""
    depth_ray_weight: float = 0.01
    """Weight of the loss on rays whose end is known from matched photos. It decides whether the geometry comes right;
    0 switches it off, for photos whose matches mislead."""
    num_depth_rays: int = 128
    """Such rays in each step."""
    depth_tolerance: float = 0.05
    """How exactly their ends are known, as a share of the slab's thickness."""
    surface_weight: float = 0.01
    """Weight of the loss on rays of photos whose end dense matching has found: what stands and has few exact matches,
    such as trees, stands by it. 0 switches it off."""
    surface_steps: int = 3000
    """Steps over which that weight sinks to `surface_rest` of it: exact matches and colors know fine things better."""
    surface_rest: float = 0.1
    """Share of the weight that stays."""
    surface_tolerance: float = 0.01
    """How exactly these ends are known, as a share of the cameras' height above the ground."""
    implementation: Literal["torch", "tcnn"] = "torch"
    """Of the small MLPs. Set it to tcnn on a GPU where tiny-cuda-nn is installed; such a checkpoint then needs
    tiny-cuda-nn when it is loaded."""


@dataclass
class FieldSamples:
    """What lies along rays, but for its colors."""

    samples: RaySamples
    """Of the field."""
    segment: RaySegment
    """What the semantic stage needs of them."""
    through_ground: Bool[Tensor, "rays 1"]
    """Rays that leave the frame through the ground."""
    proposal_weights: Float[Tensor, "rays proposals 1"]
    """Of the proposal grid's samples."""
    proposal_samples: RaySamples
    """Of the proposal grid."""

    def __getitem__(self, rays: slice) -> "FieldSamples":
        """The same of some of the rays."""
        return FieldSamples(*(getattr(self, item.name)[rays] for item in fields(self)))


def _with_depth_rays(ray_bundle: RayBundle, known: DepthRays) -> RayBundle:
    """Rays with such whose end is known behind them: asking the field once for all is faster than twice."""
    return RayBundle(
        torch.cat([ray_bundle.origins, known.origins]),
        torch.cat([ray_bundle.directions, known.directions]),
        torch.cat([ray_bundle.pixel_area, torch.ones_like(known.distances)]),
    )


class GridGeometry(Geometry):
    """One level, one segment: the field inside the scene's frame, the sky behind it.

    Rays that leave the frame through the ground must end before: in training, a random color lies behind them. Without
    that, matter is traded for background and the depth comes out wrong behind right colors.

    Args:
        config: sizes and weights.
    """

    config: GridGeometryConfig
    rays_per_chunk = {"cpu": 2048, "cuda": 32_768}

    def __init__(self, config: GridGeometryConfig) -> None:
        super().__init__()
        self.config = config
        self.frame = SceneFrame()
        self.field = GridField(
            self.frame,
            config.resolutions,
            config.height_ratio,
            config.components,
            config.width,
            config.implementation,
        )
        self.proposal = ProposalGrid(self.frame, config.proposal_resolution)
        self.sky = Sky()
        self.sampler = ProposalNetworkSampler(
            num_proposal_samples_per_ray=(config.num_proposal_samples,),
            num_nerf_samples_per_ray=config.num_samples,
            num_proposal_network_iterations=1,
            single_jitter=True,
            update_sched=lambda step: 0,
            initial_sampler=UniformSampler(single_jitter=True),
        )
        self.rgb_loss = MSELoss()
        self.depth_rays: Optional[DepthRays] = None
        self.surface: Optional[KnownSurface] = None
        self.levels = (LevelLayout((config.width,)),)

    def fit_to_scene(self, dataset: InputDataset, folders: Sequence[Path] = ()) -> None:
        """Finds points of the scene in its photos, and lays the frame around them unless a checkpoint brought one."""
        self.depth_rays = find_depth_rays(dataset)
        points = with_known_points(dataset, self.depth_rays.points)
        if self.config.surface_weight > 0 and len(points) >= MIN_POINTS:
            self.surface = find_surface(dataset, points, folders)
        if not self.frame.fitted:
            found = [points] if self.surface is None else [points, self.surface.points]
            self.frame.fit_to_dataset(dataset, torch.cat(found))
        if self.surface is not None:
            self.surface = self.surface.to(self.frame.centre.device)
        CONSOLE.log(f"{len(self.depth_rays) // 2:,} points matched between photos. {self.frame.describe()}")

    def update_to_step(self, step: int) -> None:
        share = min(1.0, step / max(1, self.config.anneal_steps))
        self.sampler.set_anneal(10 * share / (9 * share + 1))  # mip-NeRF 360, equation 18
        self.sampler.step_cb(step)

    def forward(self, ray_bundle: RayBundle) -> List[RenderedLevel]:
        known = self._draw_depth_rays() if self.training and torch.is_grad_enabled() else None
        found = self._sample_field(ray_bundle if known is None else _with_depth_rays(ray_bundle, known))
        rays = found[: len(ray_bundle)]
        weights, samples = rays.segment.weights, rays.samples
        accumulation = weights.sum(dim=-2)
        rgb = (weights * self.field.get_outputs(samples, rays.segment.features)[FieldHeadNames.RGB]).sum(dim=-2)
        rgb = rgb + (1.0 - accumulation) * self._behind(ray_bundle, rays.through_ground)
        edges = samples.frustums.starts, samples.frustums.ends
        depth = median_depth(weights, *edges, self.frame.distance_behind(ray_bundle.origins))
        ends = None
        if self.training and torch.is_grad_enabled() and self.surface is not None:
            ends = self.surface.look_up(ray_bundle)
        proposals = (rays, None if known is None else (found[len(ray_bundle) :], known.distances), ends)
        return [RenderedLevel(rgb, depth, accumulation, [rays.segment], proposals)]

    def _sample_field(self, ray_bundle: RayBundle) -> FieldSamples:
        """All but the colors."""
        near, far, through_ground = self.frame.intersect(ray_bundle.origins, ray_bundle.directions)
        ray_bundle.nears, ray_bundle.fars = near, far
        samples, (proposal_weights,), (proposal_samples,) = self.sampler(ray_bundle, density_fns=[self.proposal])
        positions = self.frame.to_grid(samples.frustums.get_positions())
        density, features = self.field.query(positions)
        segment = RaySegment(features, positions, samples.get_weights(density), torch.ones_like(near))
        return FieldSamples(samples, segment, through_ground, proposal_weights, proposal_samples)

    def _behind(self, ray_bundle: RayBundle, through_ground: Bool[Tensor, "rays 1"]) -> Float[Tensor, "rays 3"]:
        sky = self.sky(ray_bundle.directions)
        return torch.where(through_ground, torch.rand_like(sky), sky) if self.training else sky

    def _draw_depth_rays(self) -> Optional[DepthRays]:
        """Some of the rays whose end is known; None where there are none or they are not wanted."""
        rays, count = self.depth_rays, self.config.num_depth_rays
        if rays is None or not len(rays) or not count or self.config.depth_ray_weight <= 0:
            return None
        chosen = torch.randint(len(rays), (count,))
        return DepthRays(*(v[chosen].to(self.frame.centre) for v in (rays.origins, rays.directions, rays.distances)))

    def get_losses(
        self, levels: List[RenderedLevel], image: Float[Tensor, "rays 3"], step: int
    ) -> Dict[str, Float[Tensor, ""]]:
        rays, known, ends = levels[0].proposals
        weights, samples = [rays.proposal_weights, rays.segment.weights], [rays.proposal_samples, rays.samples]
        losses = {
            "rgb_loss": self.rgb_loss(image, levels[0].rgb),
            "interlevel_loss": interlevel_loss(weights, samples),
            "distortion_loss": self.config.distortion_weight * distortion_loss(weights, samples),
        }
        if known is not None:
            known_rays, distances = known
            tolerance = self.config.depth_tolerance * self.frame.thickness
            loss = depth_supervision_loss(known_rays.segment.weights, known_rays.samples, distances, tolerance)
            losses["depth_loss"] = self.config.depth_ray_weight * loss
        if ends is not None and bool((ends > 0).any()):
            hit = ends[:, 0] > 0
            tolerance = self.config.surface_tolerance * self.surface.camera_height
            loss = depth_supervision_loss(rays.segment.weights[hit], rays.samples[hit], ends[hit], tolerance)
            done = min(1.0, step / max(1, self.config.surface_steps))
            share = 1 - done * (1 - self.config.surface_rest)
            losses["surface_loss"] = self.config.surface_weight * share * loss
        return losses

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        return {
            "grids": [*self.field.grids(), *self.proposal.parameters()],
            "networks": [*self.field.networks(), *self.sky.parameters()],
        }
