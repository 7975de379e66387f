"""A geometry of somebody else's under the same semantic stage, with nothing but the interface."""

from dataclasses import dataclass, field

import pytest
import torch
from helpers.configs import small_config
from torch import nn

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.geometry.base import Geometry, GeometryConfig, LevelLayout, RaySegment, RenderedLevel
from nerfseg_ns.geometry.grid import GridGeometry


@dataclass
class GroundPlaneConfig(GeometryConfig):
    """A flat colored ground, one sample a ray."""

    _target: type = field(default_factory=lambda: GroundPlane)


class GroundPlane(Geometry):
    """Every ray ends on the ground, z = 0; its color is a linear function of the place."""

    def __init__(self, config: GroundPlaneConfig) -> None:
        super().__init__()
        self.color = nn.Linear(3, 3)
        self.levels = (LevelLayout((3,)),)

    def forward(self, ray_bundle):
        distance = (-ray_bundle.origins[:, 2:] / ray_bundle.directions[:, 2:].clamp(max=-1e-3)).clamp(max=3.0)
        place = ray_bundle.origins + distance * ray_bundle.directions
        ones = torch.ones_like(distance)
        segment = RaySegment(place[:, None], place[:, None] / 3, ones[:, None], ones)
        return [RenderedLevel(self.color(place).sigmoid(), distance, ones, [segment])]

    def get_param_groups(self):
        return {"networks": list(self.color.parameters())}

    def get_losses(self, levels, image, step):
        return {"rgb_loss": ((levels[0].rgb - image) ** 2).mean()}


def test_another_geometry_trains_through_both_stages(small_town, make_trainer, step_trainer, monkeypatch):
    config = small_config("nerfseg-fast")
    config.pipeline.model.geometry = GroundPlaneConfig()
    del config.optimizers["grids"]
    monkeypatch.setattr("conftest.small_config", lambda method: config)
    trainer = make_trainer(small_town, 3, 3)
    step_trainer(trainer, range(6))
    model = trainer.pipeline.model.eval()
    assert model.stage is Stage.SEMANTIC and isinstance(model.geometry, GroundPlane)
    outputs = model.get_outputs_for_camera(trainer.pipeline.datamanager.eval_dataset.cameras[:1])
    colors = {tuple(color) for color in outputs["semantics_colormap"].view(-1, 3).tolist()}
    assert colors <= {tuple(color) for color in model.palette.tolist()}


def test_a_geometry_must_implement_the_interface():
    with pytest.raises(TypeError, match="abstract"):
        Geometry()


def test_no_perceptual_network_is_built(fast_pipeline):
    """nerfstudio's models build LPIPS, whose weights are downloaded; without a network that is a crash."""
    assert "torchmetrics.image.lpip" not in {type(module).__module__ for module in fast_pipeline.modules()}
    assert not any("alex" in name for name, _ in fast_pipeline.named_parameters())


def test_views_are_rendered_in_pieces_that_suit_geometry_and_device(small_town, make_trainer):
    model = make_trainer(small_town, 3, 3).pipeline.model
    assert model.config.eval_num_rays_per_chunk == 0 and model.rays_per_chunk == GridGeometry.rays_per_chunk["cpu"]
    model.config.eval_num_rays_per_chunk = 100
    assert model.rays_per_chunk == 100
    model.config.eval_num_rays_per_chunk = 0
    model.geometry = GroundPlane(GroundPlaneConfig())
    assert model.rays_per_chunk == Geometry.rays_per_chunk["cpu"]
