"""nerfstudio's own semantic-nerfw in the comparison: what there is for its users today."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from jaxtyping import Float
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.semantic_nerfw import SemanticNerfWModel
from torch import Tensor

from nerfseg_ns.compare.fields.field_method import FieldMethod
from nerfseg_ns.compare.fields.run_config import run_config
from nerfseg_ns.compare.methods import Color
from nerfseg_ns.data.datamanager import LabelledDataManagerConfig
from nerfseg_ns.semantics.losses import label_loss

VIEW_CHUNK = 4096
"""Rays of a view that are rendered at once; nerfstudio's 65,536 take tens of gigabytes without tiny-cuda-nn."""


class SparselyLabelledNerfW(SemanticNerfWModel):
    """semantic-nerfw for scenes of which little is labelled; see `NerfWMethod`."""

    def populate_modules(self) -> None:
        # Its maker cannot be told to leave this out, and what takes its place is never asked.
        with patch("torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity", lambda **_: None):
            super().populate_modules()
        del self.cross_entropy_loss  # a module, which only another module may replace
        self.cross_entropy_loss = label_loss


class NerfWMethod(FieldMethod):
    """semantic-nerfw with its own networks, rays, samples, losses, learning rates and number of steps.

    As it comes it cannot learn scenes with few labels. What was changed so that it can:

    - Photos, poses and labels come from this project's data manager: nerfstudio's SemanticDataset knows no unlabelled
      view and takes color labels for indices. Pixels are drawn from all photos, as in its own.
    - Pixels without a label do not count in the cross-entropy.
    - The perceptual metric is left out, since its weights would be downloaded.
    - Views are rendered in smaller pieces.

    Without tiny-cuda-nn, nerfstudio itself falls back to the same networks in torch, which are slower. The steps that
    a budget names for the two stages are its own together.
    """

    def make_config(self) -> TrainerConfig:
        from nerfstudio.configs.method_configs import method_configs  # every method there is: takes seconds

        method: TrainerConfig = method_configs["semantic-nerfw"]
        theirs, budget = method.pipeline, self.job.budget
        manager = LabelledDataManagerConfig(train_num_rays_per_batch=theirs.datamanager.train_num_rays_per_batch)
        model = replace(theirs.model, _target=SparselyLabelledNerfW, eval_num_rays_per_chunk=VIEW_CHUNK)
        steps = (budget.implicit_steps or 0) + (budget.semantic_steps or 0)
        method = replace(
            method,
            pipeline=replace(theirs, datamanager=manager, model=model),
            max_num_iterations=steps or method.max_num_iterations,
        )
        return run_config(method, self.job.scene, self.job.seed, self.job.folder)

    def logits(
        self, outputs: dict[str, Tensor], photo: Float[Tensor, "height width 3"], color: Color
    ) -> Float[Tensor, "height width classes"]:
        return outputs["semantics"]
