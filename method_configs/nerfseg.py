"""`nerfseg`: the paper's method, NeRF++ under the semantic stage in the paper's sizes."""

from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfseg_ns.data.datamanager import LabelledDataManagerConfig
from nerfseg_ns.data.ray_cache import RayCacheConfig
from nerfseg_ns.geometry.nerfpp import NeRFPPGeometryConfig
from nerfseg_ns.model import NerfSegModelConfig
from nerfseg_ns.pipeline import NerfSegPipelineConfig
from nerfseg_ns.training.stages import StageScheduleConfig
from nerfseg_ns.training.trainer import StagedTrainerConfig

nerfseg = MethodSpecification(
    config=StagedTrainerConfig(
        method_name="nerfseg",
        steps_per_save=5000,
        pipeline=NerfSegPipelineConfig(
            datamanager=LabelledDataManagerConfig(train_num_rays_per_batch=1024),
            model=NerfSegModelConfig(geometry=NeRFPPGeometryConfig(skip_weight=1e-3)),
            stages=StageScheduleConfig(implicit_steps=300_000, semantic_steps=20_000),
            labelled_rays=RayCacheConfig(max_megabytes=0),  # a ray takes 300 times the memory of nerfseg-fast's
        ),
        optimizers={
            "geometry": {"optimizer": AdamOptimizerConfig(lr=5e-4), "scheduler": None},
            "semantics": {"optimizer": AdamOptimizerConfig(lr=1e-3), "scheduler": None},
            "exposures": {"optimizer": AdamOptimizerConfig(lr=2e-3), "scheduler": None},
            "guidance": {"optimizer": AdamOptimizerConfig(lr=1e-3), "scheduler": None},
        },
        viewer=ViewerConfig(num_rays_per_chunk=1024, quit_on_train_completion=True),
        vis="viewer",
    ),
    description="Labels from a few photos for a whole scene: the paper's method (NeRF++, for a GPU and hours).",
)
