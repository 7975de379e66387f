"""What the model of both methods is made of."""

from dataclasses import dataclass, field
from typing import Literal

from nerfstudio.models.base_model import ModelConfig

from nerfseg_ns.core.older_runs import OlderConfig
from nerfseg_ns.geometry.base import GeometryConfig
from nerfseg_ns.semantics.label_modules import LabelModulesConfig


@dataclass
class StagedModelConfig(OlderConfig, LabelModulesConfig, ModelConfig):
    """Geometry, what learns labels on it, and how views are rendered."""

    renamed_fields = {"colour_context": "color_context", "training_colour": "training_color"}

    enable_collider: bool = False
    """Unused: each geometry sets the near and far planes of its rays itself."""
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    """What stage 1 learns."""
    photo_exposures: bool = False
    """Learn in stage 1 how exposure and white balance of each photo differ from the others'. Photos that are labelled
    or scored are compared with the learnt scene to find theirs."""
    training_color: Literal["observed", "rendered", "mixed"] = "observed"
    """Color that the color-radiance network is trained on: the photo's own (the paper), the one that stage 1 renders
    (what novel views will have), or for each ray one of the two by chance."""
    render_precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks while a view is rendered; training is not affected. bfloat16 is faster on a GPU and on
    CPUs that compute with it (AVX-512 BF16, AMX), and changes a few pixels in a thousand."""
    eval_num_rays_per_chunk: int = 0
    """Rays of a view that are rendered at once; 0 takes what suits geometry and device. Fewer where memory is short."""
