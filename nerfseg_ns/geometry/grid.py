"""The grid geometry of `nerfseg-fast` (draft)."""

from dataclasses import dataclass, field
from typing import Dict, List, Literal, Tuple, Type

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.encodings import SHEncoding
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.mlp import MLP
from nerfstudio.model_components.losses import distortion_loss, interlevel_loss
from nerfstudio.model_components.ray_samplers import ProposalNetworkSampler, UniformSampler
from torch import nn

from nerfseg_ns.geometry.base import Geometry, GeometryConfig, LevelLayout, RaySegment, RenderedLevel
from nerfseg_ns.geometry.grid_field import GridField, ProposalGrid
from nerfseg_ns.geometry.scene_frame import SceneFrame
from nerfseg_ns.geometry.sparse_points import find_sparse_rays


@dataclass
class GridGeometryConfig(GeometryConfig):
    _target: Type = field(default_factory=lambda: GridGeometry)
    field_kwargs: dict = field(default_factory=dict)
    proposal_samples: int = 48
    samples: int = 24
    distortion: float = 0.002
    proposal_res: Tuple[int, int] = (128, 32)
    proposal_bias: float = -2.0
    sparse_mult: float = 0.0
    sparse_rays: int = 128
    sparse_steps: int = 100000
    sparse_sigma: float = 0.05


class GridGeometry(Geometry):
    def __init__(self, config: GridGeometryConfig):
        super().__init__()
        self.config = config
        self.frame = SceneFrame()
        self.field = GridField(self.frame, **config.field_kwargs)
        self.proposal = ProposalGrid(self.frame, *config.proposal_res, init_bias=config.proposal_bias)
        self.sampler = ProposalNetworkSampler(
            num_proposal_samples_per_ray=(config.proposal_samples,),
            num_nerf_samples_per_ray=config.samples,
            num_proposal_network_iterations=1,
            single_jitter=True,
            initial_sampler=UniformSampler(single_jitter=True),
            update_sched=lambda step: 0,
        )
        self.sky_direction = SHEncoding(levels=4)
        self.sky = MLP(16, 2, 32, 3, out_activation=nn.Sigmoid())
        self.levels = (LevelLayout((64,)),)

    def fit_to_scene(self, dataset):
        self.sparse = find_sparse_rays(dataset)
        print(len(self.sparse), "sparse rays")
        self.frame.fit(self.sparse.points, dataset.cameras.camera_to_worlds[:, :, 3].float())

    def update_to_step(self, step):
        n = 500
        frac = min(step / n, 1.0)
        self.sampler.set_anneal(10 * frac / (9 * frac + 1))
        self.sampler.step_cb(step)

    def forward(self, ray_bundle: RayBundle):
        near, far, ground = self.frame.intersect(ray_bundle.origins, ray_bundle.directions)
        ray_bundle.nears, ray_bundle.fars = near, far
        samples, plist, slist = self.sampler(ray_bundle, density_fns=[self.proposal])
        density, features = self.field.get_density(samples)
        rgb = self.field.get_outputs(samples, features)[FieldHeadNames.RGB]
        weights = samples.get_weights(density)
        acc = weights.sum(1)
        sky = self.sky(self.sky_direction(ray_bundle.directions))
        if self.training:
            sky = torch.where(ground, torch.rand_like(sky), sky)
        out = (weights * rgb).sum(1) + (1 - acc) * sky
        mid = (samples.frustums.starts + samples.frustums.ends) / 2
        cum = weights[..., 0].cumsum(-1)
        idx = torch.searchsorted(cum, 0.5 * cum[:, -1:].clamp(min=1e-6)).clamp(max=mid.shape[1] - 1)
        depth = mid[..., 0].gather(1, idx)
        level = RenderedLevel(out, depth, acc, [RaySegment(features, weights, torch.ones_like(acc))])
        level.expected = (weights * mid).sum(1) / acc.clamp(min=1e-6)
        level.aux = (plist + [weights], slist + [samples])
        return [level]

    def get_losses(self, levels, image, step):
        w, s = levels[0].aux
        out = {}
        cfg = self.config
        if cfg.sparse_mult > 0 and step < cfg.sparse_steps:
            idx = torch.randint(len(self.sparse), (cfg.sparse_rays,))
            bundle = RayBundle(self.sparse.origins[idx], self.sparse.directions[idx], torch.ones(len(idx), 1), metadata={})
            lv = self(bundle)[0]
            d = self.sparse.distances[idx][:, None]
            ws, ss = lv.aux
            sig = cfg.sparse_sigma * 2 * self.frame.half_size[2]
            loss = 0.0
            for wt, smp in zip(ws, ss):
                mid = (smp.frustums.starts + smp.frustums.ends) / 2
                over = (smp.frustums.ends > d - sig) & (smp.frustums.starts < d + sig)
                hit = (wt * over).sum(1)
                before = (wt * (smp.frustums.ends < d - sig)).sum(1)
                loss = loss + (-(hit + 1e-2).log()).mean() + before.mean()
            out["sparse"] = cfg.sparse_mult * loss
        return {
            **out,
            "rgb": nn.functional.mse_loss(levels[0].rgb, image),
            "interlevel": interlevel_loss(w, s),
            "distortion": self.config.distortion * distortion_loss(w, s),
        }

    def get_param_groups(self):
        return {"grids": list(self.field.encoding.parameters()) + list(self.proposal.parameters()),
                "networks": [*self.field.base.parameters(), *self.field.density.parameters(), *self.field.colour.parameters(), *self.sky.parameters()]}
