"""`nerfseg-fast`: the same semantic stage over a grid geometry, for minutes instead of hours."""

from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfseg_ns.data.datamanager import LabelledDataManagerConfig
from nerfseg_ns.data.guided_sampler import GuidedPixelSamplerConfig
from nerfseg_ns.data.ray_cache import RayCacheConfig
from nerfseg_ns.eye.config import DEFAULT_BACKBONE
from nerfseg_ns.geometry.grid import GridGeometryConfig
from nerfseg_ns.model import NerfSegModelConfig
from nerfseg_ns.pipeline import NerfSegPipelineConfig
from nerfseg_ns.semantics.color_context import ColorContextConfig
from nerfseg_ns.semantics.guidance import GuidanceConfig
from nerfseg_ns.semantics.height_opinion import HeightOpinionConfig
from nerfseg_ns.semantics.sample_logits import SampleLogitsConfig
from nerfseg_ns.semantics.semantic_stage import SemanticStageConfig
from nerfseg_ns.semantics.taught_field import FieldEyeConfig
from nerfseg_ns.training.optimizer import FusedAdamOptimizerConfig
from nerfseg_ns.training.stages import StageScheduleConfig
from nerfseg_ns.training.trainer import StagedTrainerConfig

nerfseg_fast = MethodSpecification(
    config=StagedTrainerConfig(
        method_name="nerfseg-fast",
        steps_per_save=1000,
        steps_per_eval_all_images=100_000,
        pipeline=NerfSegPipelineConfig(
            datamanager=LabelledDataManagerConfig(
                pixel_sampler=GuidedPixelSamplerConfig(contrast_share=0.7, labelled_share=0.125)
            ),
            model=NerfSegModelConfig(
                geometry=GridGeometryConfig(),
                photo_exposures=True,
                semantics=SemanticStageConfig(
                    hidden_dim=64,
                    feature_dim=64,
                    kernel_sizes=(5,),
                    max_samples=8,
                    position_resolutions=(64, 256),
                    position_dropout=0.3,
                    heads=2,
                    label_smoothing=0.1,
                    class_balance=0.25,
                ),
                guidance=GuidanceConfig(
                    weight=0.01,
                    logits=SampleLogitsConfig(hidden_dim=64, position_resolutions=(64, 128), position_dropout=0.3),
                    label_smoothing=0.1,
                    class_balance=0.25,
                ),
                color_context=ColorContextConfig(weight=0.5),
                eye=FieldEyeConfig(backbone=DEFAULT_BACKBONE),
                height=HeightOpinionConfig(weight=1.0),
                training_color="mixed",
            ),
            labelled_rays=RayCacheConfig(max_megabytes=384, refresh_rays=32),
            stages=StageScheduleConfig(
                implicit_steps=5500,
                semantic_steps=500,
                implicit_lr_final=0.05,
                semantic_lr_final=0.05,
                warmup_steps=50,
            ),
        ),
        optimizers={
            "grids": {"optimizer": FusedAdamOptimizerConfig(lr=5e-2, eps=1e-15, betas=(0.9, 0.99)), "scheduler": None},
            "networks": {"optimizer": FusedAdamOptimizerConfig(lr=3e-3, eps=1e-15), "scheduler": None},
            "exposures": {"optimizer": FusedAdamOptimizerConfig(lr=2e-3, eps=1e-15), "scheduler": None},
            "semantics": {"optimizer": FusedAdamOptimizerConfig(lr=1e-2, eps=1e-15), "scheduler": None},
            "guidance": {"optimizer": FusedAdamOptimizerConfig(lr=1e-2, eps=1e-15), "scheduler": None},
        },
        viewer=ViewerConfig(num_rays_per_chunk=4096, quit_on_train_completion=True),
        vis="viewer",
    ),
    description="Labels from a few photos for a whole scene, in minutes, on a CPU or a GPU.",
)
