"""The model of both methods: a geometry (stage 1) and the semantic stage on top of it (stage 2)."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Literal, Optional, Tuple, Type, Union

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.utils import colormaps
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import mse_loss

from nerfseg_ns.data.datamanager import LABELLED, OBSERVED_RGB
from nerfseg_ns.evaluation.image_quality import image_quality, psnr
from nerfseg_ns.evaluation.scores import SegmentationScores
from nerfseg_ns.eye.eye import Eye, make_eye
from nerfseg_ns.geometry.base import Geometry, GeometryConfig, RenderedLevel
from nerfseg_ns.geometry.ground import surface_points
from nerfseg_ns.labels.label_maps import LabelMaps
from nerfseg_ns.semantics.colour_context import ColourContext, ColourContextConfig
from nerfseg_ns.semantics.frozen_rays import FrozenRays
from nerfseg_ns.semantics.fusion import Fusion
from nerfseg_ns.semantics.guidance import GuidanceConfig, LabelGuidance
from nerfseg_ns.semantics.height_opinion import HeightOpinion, HeightOpinionConfig
from nerfseg_ns.semantics.losses import label_loss
from nerfseg_ns.semantics.outputs import label_outputs, pending_outputs
from nerfseg_ns.semantics.semantic_stage import SemanticStage, SemanticStageConfig
from nerfseg_ns.semantics.taught_field import FieldEyeConfig, TaughtField
from nerfseg_ns.training.callback import GUIDANCE_GROUP, SEMANTIC_GROUP
from nerfseg_ns.training.stages import Stage
from nerfseg_ns.viewer.labels_button import LabelsButton
from nerfseg_ns.viewer.markdown import ViewerMarkdown, legend, stage_text

RAY_FEATURES = "ray_features"
GUIDANCE_LOGITS = "guidance_logits"


@dataclass
class NerfSegModelConfig(ModelConfig):
    """Config of the model."""

    _target: Type = field(default_factory=lambda: NerfSegModel)
    enable_collider: bool = False
    """Unused: each geometry sets the near and far planes of its rays itself."""
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    """What stage 1 learns."""
    semantics: SemanticStageConfig = field(default_factory=SemanticStageConfig)
    """What stage 2 learns."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    """What the labels tell stage 1, if anything."""
    colour_context: ColourContextConfig = field(default_factory=ColourContextConfig)
    """What the surroundings of a pixel in the image add to stage 2, if anything."""
    eye: FieldEyeConfig = field(default_factory=FieldEyeConfig)
    """What a network that was trained on other images adds to stage 2, if anything."""
    height: HeightOpinionConfig = field(default_factory=HeightOpinionConfig)
    """What the height above the ground says of the class, if anything."""
    training_colour: Literal["observed", "rendered", "mixed"] = "observed"
    """Colour that the colour-radiance network is trained on: the photo's own (the paper), the one that stage 1 renders
    (what novel views will have), or for each ray one of the two by chance."""
    render_precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks while a view is rendered; training is not affected. bfloat16 is faster on a GPU and on
    CPUs that compute with it (AVX-512 BF16, AMX), and changes a few pixels in a thousand."""
    eval_num_rays_per_chunk: int = 0
    """Rays of a view that are rendered at once; 0 takes what suits geometry and device. Fewer where memory is short."""

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Options that an older run's config.yml does not have yet are as in the paper: they were not there."""
        self.__init__()
        vars(self).update(state)


class NerfSegModel(Model):
    """Learns a scene, then its labels.

    The geometry is a module behind the small interface of `nerfseg_ns.geometry.base`; in the semantic stage it is
    rendered without gradients and in evaluation mode, so that it cannot move.

    Args:
        config: of the model.
        metadata: of the training split; `metadata["semantics"]` holds the label maps.
        **kwargs: as for nerfstudio's `Model`.
    """

    config: NerfSegModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        self.geometry: Geometry = self.config.geometry.setup()
        self.register_buffer("palette", torch.empty(0, 3), persistent=False)
        self.viewer_legend = ViewerMarkdown("Classes", "")
        self.viewer_labels = LabelsButton()
        self.set_classes(self.kwargs["metadata"]["semantics"])
        self.stage = Stage.IMPLICIT
        self.step = 0
        self.scores: Optional[SegmentationScores] = None
        self.viewer_stage = ViewerMarkdown("Stage", stage_text(Stage.IMPLICIT, 0, 1))

    def set_classes(self, label_maps: LabelMaps) -> None:
        """Makes all that learns labels anew, unlearnt, for the classes of these labels."""
        self.class_names = list(label_maps.classes)
        self.palette = label_maps.colors.clone().to(self.palette.device)
        layout, count = self.geometry.levels, len(self.class_names)
        config, device = self.config, self.palette.device
        self.semantics: SemanticStage = config.semantics.setup(levels=layout, num_classes=count).to(device)
        self.guidance: Optional[LabelGuidance] = None
        self.colour_context: Optional[ColourContext] = None
        if config.guidance.weight > 0:
            self.guidance = config.guidance.setup(levels=layout, num_classes=count).to(device)
        if config.colour_context.weight > 0:
            self.colour_context = config.colour_context.setup(num_classes=count).to(device)
        self.eye: Optional[Eye] = make_eye(config.eye, count)
        self.taught: Optional[TaughtField] = None
        self.height: Optional[HeightOpinion] = None
        if self.eye is not None:
            self.eye = self.eye.to(device)
        if config.eye.teaches:
            self.taught = TaughtField(config.semantics, layout, count).to(device)
        if config.height.weight > 0 and not hasattr(self.geometry, "frame"):
            CONSOLE.log(f"{type(self.geometry).__name__} does not know which way is up: heights have no say.")
        elif config.height.weight > 0:
            self.height = config.height.setup(num_classes=count).to(device)
        self.viewer_legend.content = legend(self.class_names, label_maps.table.colors)

    @property
    def fusion(self) -> Fusion:
        """All that is known of a pixel's class."""
        return Fusion(self.semantics, self.taught, self.height, self.colour_context, self.eye, self.config.eye)

    @property
    def rays_per_chunk(self) -> int:
        """Rays of a view that are rendered at once."""
        suitable = self.geometry.rays_per_chunk
        return self.config.eval_num_rays_per_chunk or suitable.get(self.device.type, suitable["cpu"])

    def get_param_groups(self) -> Dict[str, List[Parameter]]:
        groups = {**self.geometry.get_param_groups(), SEMANTIC_GROUP: list(self.semantics.parameters())}
        if self.colour_context is not None:
            groups[SEMANTIC_GROUP] += self.colour_context.parameters()
        if self.taught is not None:
            groups[SEMANTIC_GROUP] += self.taught.parameters()
        if self.guidance is not None:
            groups[GUIDANCE_GROUP] = list(self.guidance.parameters())
        return groups

    def set_stage(self, stage: Stage, step: int, progress: Tuple[int, int]) -> None:
        """Moves the model to a stage; doing it twice changes nothing.

        Args:
            stage: to move to.
            step: of stage 1; its length in stage 2.
            progress: steps done within the stage, and its length.
        """
        self.stage, self.step = stage, step
        self.geometry.freeze(stage is Stage.SEMANTIC)
        learns = dict.fromkeys((self.semantics, self.colour_context, self.taught), Stage.SEMANTIC)
        learns[self.guidance] = Stage.IMPLICIT
        for module, when in learns.items():
            if module is not None:
                module.requires_grad_(stage is when)
        self.geometry.update_to_step(step)
        self.train(self.training)
        self.viewer_stage.content = stage_text(stage, *progress)

    def train(self, mode: bool = True) -> "NerfSegModel":
        super().train(mode)
        if self.stage is Stage.SEMANTIC:
            self.geometry.eval()
        return self

    def render(self, ray_bundle: RayBundle) -> List[RenderedLevel]:
        """Renders the geometry; in the semantic stage its outputs are constants."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.stage is Stage.IMPLICIT):
            return self.geometry(ray_bundle)

    def render_colours(self, ray_bundle: RayBundle) -> Float[Tensor, "rays 3"]:
        """Colours of rays, 0 to 1."""
        return self.render(ray_bundle)[-1].rgb.clamp(0.0, 1.0)

    @torch.no_grad()
    def freeze_rays(self, ray_bundle: RayBundle, batch: Dict[str, Tensor]) -> FrozenRays:
        """Renders labelled rays once, for all the steps of stage 2 that they are drawn in.

        Args:
            ray_bundle: the rays.
            batch: their `image` colours [rays, 3] and `semantics` [rays, 1].
        """
        levels = self.render(ray_bundle)
        return FrozenRays(
            self.semantics.choose_samples(levels),
            levels[-1].rgb.clamp(0.0, 1.0),
            batch["image"][..., :3].to(self.device),
            batch["semantics"].to(self.device)[..., 0].long(),
        )

    def get_outputs(self, ray_bundle: Union[RayBundle, FrozenRays]) -> Dict[str, Tensor]:
        """Renders a bundle of rays; in training, stage 2 takes frozen rays too."""
        if self.training:
            return self._get_training_outputs(ray_bundle)
        reduced = self.config.render_precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            outputs = self._get_view_outputs(ray_bundle)
        return {name: values.float() for name, values in outputs.items()}

    def _get_training_outputs(self, ray_bundle: Union[RayBundle, FrozenRays]) -> Dict[str, Any]:
        context = {**self._get_context_logits(ray_bundle), **self._get_taught_logits(ray_bundle)}
        if isinstance(ray_bundle, FrozenRays):
            colour = self._training_colour(ray_bundle.observed, ray_bundle.rendered)
            return {"rgb": ray_bundle.rendered, **self.semantics.get_logits(ray_bundle.levels, colour), **context}
        levels = self.render(ray_bundle)
        finest = levels[-1]
        outputs = {"rgb": finest.rgb, "depth": finest.depth, "accumulation": finest.accumulation}
        return {**outputs, "levels": levels, **self._get_training_logits(ray_bundle, levels), **context}

    def _get_view_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        finest = self.render(ray_bundle)[-1]
        rgb, accumulation = finest.rgb.clamp(0.0, 1.0), finest.accumulation.clamp(0.0, 1.0)
        outputs = {"rgb": rgb, "depth": finest.depth, "accumulation": accumulation}
        return {**outputs, **self._get_label_outputs(finest, rgb, ray_bundle.directions)}

    def _get_training_logits(self, ray_bundle: RayBundle, levels: List[RenderedLevel]) -> Dict[str, List[Tensor]]:
        """Logits of every cascade level, in stage 1 those of its guidance, if it has any.

        They belong to the forward pass, not to the loss: data-parallel training only sees what happens here.
        """
        if self.stage is Stage.IMPLICIT:
            labelled = ray_bundle.metadata.get(LABELLED)  # a view rendered in training mode does not know
            guides = self.guidance is not None and labelled is not None
            return {GUIDANCE_LOGITS: self.guidance(levels, labelled)} if guides else {}
        rendered = levels[-1].rgb.clamp(0.0, 1.0)
        observed = ray_bundle.metadata.get(OBSERVED_RGB, rendered)  # a view rendered in training mode has no photo
        colour = self._training_colour(observed, rendered)
        return self.semantics.get_logits(self.semantics.choose_samples(levels), colour)

    def _get_context_logits(self, ray_bundle: Union[RayBundle, FrozenRays]) -> Dict[str, Tensor]:
        """Logits and labels of pieces of photos, beside a batch of stage 2."""
        is_batch = isinstance(ray_bundle, FrozenRays) or OBSERVED_RGB in ray_bundle.metadata
        if self.colour_context is None or self.stage is Stage.IMPLICIT or not is_batch:
            return {}
        return self.colour_context.get_training_logits(self.device)

    def _get_taught_logits(self, ray_bundle: Union[RayBundle, FrozenRays]) -> Dict[str, List[Tensor]]:
        """Logits and labels of rays that the eye labelled, as many as the batch of stage 2 has that they are beside."""
        is_batch = isinstance(ray_bundle, FrozenRays) or OBSERVED_RGB in ray_bundle.metadata
        if self.taught is None or self.stage is Stage.IMPLICIT or not is_batch:
            return {}
        return self.taught.get_training_logits(len(ray_bundle), self._training_colour)

    def _training_colour(
        self, observed: Float[Tensor, "rays 3"], rendered: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays 3"]:
        """The colour that stage 2 is trained on."""
        if self.config.training_colour == "mixed":
            return torch.where(torch.rand_like(observed[:, :1]) < 0.5, observed, rendered)
        return rendered if self.config.training_colour == "rendered" else observed

    def _get_label_outputs(
        self, level: RenderedLevel, rgb: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> Dict[str, Tensor]:
        if self.stage is Stage.IMPLICIT:
            return pending_outputs(rgb, directions, len(self.class_names))
        fusion, surface = self.fusion, surface_points(level.segments)
        rendered = [stage.render_features(level) for stage in fusion.fields]
        transmittances = rendered[0][1]
        light = level.accumulation.clamp(0.0, 1.0)
        logits = fusion.of_rays([features for features, _ in rendered], transmittances, rgb, surface, light)
        outputs = label_outputs(logits, rgb, directions, self.palette)
        if self.scores is not None:
            features = [segment for own, _ in rendered for segment in own]
            outputs = {RAY_FEATURES: torch.cat([*features, *transmittances, surface, light], dim=-1), **outputs}
        return outputs

    @torch.no_grad()
    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """As nerfstudio's, with what the view looks like taken into its labels."""
        self.config.eval_num_rays_per_chunk = self.rays_per_chunk
        outputs = super().get_outputs_for_camera_ray_bundle(camera_ray_bundle)
        fusion = self.fusion
        if not fusion.looks_at_images or self.stage is Stage.IMPLICIT or self.training:
            return outputs
        views = outputs["semantics_logits"][..., : len(self.class_names)], outputs["rgb"], camera_ray_bundle.directions
        logits, rgb, directions = (values.to(self.device) for values in views)
        logits = fusion.with_image(logits, rgb, is_photo=False)
        flat = (values.flatten(0, 1) for values in (logits, rgb, directions))
        for name, values in label_outputs(*flat, self.palette).items():
            outputs[name] = values.unflatten(0, rgb.shape[:2]).to(outputs["rgb"].device)
        return outputs

    @contextmanager
    def scoring(self) -> Iterator[SegmentationScores]:
        """Within it, `get_image_metrics_and_images` adds its views to the scores, also with their photos' colours."""
        self.scores = SegmentationScores(self.class_names)
        try:
            yield self.scores
        finally:
            self.scores = None

    @torch.no_grad()
    def classify_observed(
        self, outputs: Dict[str, Tensor], image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width classes"]:
        """Logits of a view that was rendered within `scoring`, with the colours of its photo."""
        fusion, segments = self.fusion, len(self.geometry.levels[-1].feature_dims)
        widths = [stage.rendered_width for stage in fusion.fields for _ in range(segments)]
        parts = list(outputs[RAY_FEATURES].flatten(0, 1).split([*widths, *[1] * segments, 3, 1], dim=-1))
        *rendered, surface, light = parts
        transmittances = rendered[len(widths) :]
        features = [rendered[start : start + segments] for start in range(0, len(widths), segments)]
        logits = fusion.of_rays(features, transmittances, image.reshape(-1, 3), surface, light)
        return fusion.with_image(logits.view(*image.shape[:2], -1), image, is_photo=True)

    def get_metrics_dict(self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        image = batch["image"].to(self.device)
        return {"psnr": psnr(outputs["rgb"].detach(), image)}

    def get_loss_dict(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor], metrics_dict: Optional[Dict] = None
    ) -> Dict[str, Tensor]:
        image, labels = batch["image"].to(self.device), batch["semantics"].to(self.device)[..., 0].long()
        if "f2s_logits" in outputs:
            losses = self.semantics.get_losses(outputs, labels)
            if "context_logits" in outputs:
                context = outputs["context_logits"], outputs["context_labels"]
                losses["context_loss"] = self.colour_context.get_loss(*context)
            if "taught_labels" in outputs:
                losses.update(self.taught.get_losses(outputs))
            return losses
        if "levels" in outputs:
            losses = self.geometry.get_losses(outputs["levels"], image, self.step)
            if GUIDANCE_LOGITS in outputs:
                losses["guidance_loss"] = self.guidance.get_loss(outputs[GUIDANCE_LOGITS], labels)
            return losses
        logits = outputs["semantics_logits"][..., : len(self.class_names)]  # rays of an evaluation batch
        losses = {"rgb_loss": mse_loss(outputs["rgb"], image)}
        return losses if self.stage is Stage.IMPLICIT else {**losses, "f2s_loss": label_loss(logits, labels)}

    def get_image_metrics_and_images(
        self, outputs: Dict[str, Tensor], batch: Dict[str, Tensor]
    ) -> Tuple[Dict[str, float], Dict[str, Tensor]]:
        image, rgb = batch["image"].to(self.device), outputs["rgb"]
        self._score(outputs, batch["semantics"], image)
        images = {
            "img": torch.cat([image, rgb], dim=1),
            "depth": colormaps.apply_depth_colormap(outputs["depth"], accumulation=outputs["accumulation"]),
            "semantics": torch.cat([self.colour_labels(batch["semantics"]), outputs["semantics_colormap"]], dim=1),
        }
        return image_quality(rgb, image), images

    def colour_labels(self, labels: Tensor) -> Float[Tensor, "height width 3"]:
        """A label map [height, width, 1] in the classes' colours, black where not labelled."""
        table = torch.cat([self.palette, self.palette.new_zeros(256 - len(self.palette), 3)])
        return table[labels[..., 0].to(self.device).long()]

    def _score(self, outputs: Dict[str, Tensor], labels: Tensor, image: Float[Tensor, "height width 3"]) -> None:
        """Adds a view to the scores, once with the rendered colour and once with the observed one."""
        if self.scores is None or self.stage is Stage.IMPLICIT:
            return
        rendered = outputs["semantics_logits"][..., : len(self.class_names)]
        self.scores.add("", rendered.argmax(dim=-1), labels[..., 0])
        self.scores.add("observed/", self.classify_observed(outputs, image).argmax(dim=-1), labels[..., 0])
