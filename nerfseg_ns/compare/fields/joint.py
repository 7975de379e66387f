"""Seg-NeRF in the comparison: Semantic-NeRF on the geometries of this project's methods, with the same means."""

from __future__ import annotations

from nerfseg_ns.compare.fields.field_method import FieldMethod
from nerfseg_ns.compare.fields.joint_model import JointModelConfig
from nerfseg_ns.compare.fields.run_config import method_config
from nerfseg_ns.data.guided_sampler import GuidedPixelSamplerConfig
from nerfseg_ns.model import NerfSegModelConfig
from nerfseg_ns.semantics.sample_logits import SampleLogitsConfig
from nerfseg_ns.training.trainer import StagedTrainerConfig

LABELLED_SHARE = 0.25
"""Of a batch: its labels have no stage of their own."""


class JointMethod(FieldMethod):
    """One field for colors and labels, for as many steps and rays as both stages of the method have together.

    It has the method's geometry with all that helps it (pixels, samples, losses, rays of known depth, learning rates
    and their schedule) and what its semantic stage has of position features, smoothed labels and balanced classes. It
    has neither the ray convolution and the colors of that stage nor its several heads.
    """

    def make_config(self) -> StagedTrainerConfig:
        job = self.job
        config = method_config(job.info.geometry, job.scene, job.seed, job.budget, job.folder)
        pipeline, stages = config.pipeline, config.pipeline.stages
        pipeline.model = _joint_model(pipeline.model)
        contrast_share = pipeline.datamanager.pixel_sampler.contrast_share
        pipeline.datamanager.pixel_sampler = GuidedPixelSamplerConfig(
            contrast_share=contrast_share, labelled_share=LABELLED_SHARE
        )
        stages.implicit_steps, stages.semantic_steps = stages.total_steps, 0
        return config


def _joint_model(method: NerfSegModelConfig) -> JointModelConfig:
    """The joint model with the means of a method."""
    stage = method.semantics
    heads = SampleLogitsConfig(position_resolutions=stage.position_resolutions, position_dropout=stage.position_dropout)
    joint = JointModelConfig(geometry=method.geometry)
    joint.guidance.logits = heads
    joint.guidance.label_smoothing, joint.guidance.class_balance = stage.label_smoothing, stage.class_balance
    return joint
