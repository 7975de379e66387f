"""Views: how rays become pictures, with or without the colors of a photo."""

from collections import defaultdict
from contextlib import contextmanager
from typing import Dict, Iterator, Optional

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from torch import Tensor

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.errors import UserError
from nerfseg_ns.exposure.exposure import find_exposure
from nerfseg_ns.geometry.base import RenderedLevel
from nerfseg_ns.models.staged_model import StagedModel
from nerfseg_ns.semantics.outputs import LOGITS, displayable, label_outputs, pending_outputs

RAY_FEATURES = "ray_features"


class ViewModel(StagedModel):
    """Renders views: chunks of rays first, what follows from the whole view last."""

    _keeps_ray_features = False

    @torch.no_grad()
    def get_outputs_for_camera_ray_bundle(self, camera_ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """As nerfstudio's, in chunks that suit the device, with the label outputs that follow from the whole view."""
        outputs = self._render_chunks(camera_ray_bundle)
        logits, rgb = outputs.pop(LOGITS, None), outputs["rgb"].to(self.device)
        if logits is None:
            labels = pending_outputs(rgb, len(self.class_names))
        else:
            logits = logits.to(self.device)
            if not self.training:  # what looks at images would learn from this one
                logits = self.fusion.with_image(logits, rgb, is_photo=False)
            labels = label_outputs(logits, rgb, self.palette)
        return {**outputs, **{name: values.to(outputs["rgb"].device) for name, values in labels.items()}}

    def _render_chunks(self, camera_ray_bundle: RayBundle) -> Dict[str, Float[Tensor, "height width channels"]]:
        """Outputs of a view's rays, some rays at a time, on the device of the view."""
        found, device = defaultdict(list), camera_ray_bundle.directions.device
        for start in range(0, len(camera_ray_bundle), self.rays_per_chunk):
            chunk = camera_ray_bundle.get_row_major_sliced_ray_bundle(start, start + self.rays_per_chunk)
            for name, values in self.get_ray_outputs(chunk.to(self.device)).items():
                found[name].append(values.to(device))
        return {name: torch.cat(parts).view(*camera_ray_bundle.shape, -1) for name, parts in found.items()}

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: Optional[OrientedBox] = None) -> Dict[str, Tensor]:
        """A view for those who look at it: as `get_view`, with logits that nerfstudio can always display."""
        outputs = self.get_view(camera, obb_box)
        return {**outputs, LOGITS: displayable(outputs[LOGITS])}

    def get_view(self, camera: Cameras, obb_box: Optional[OrientedBox] = None) -> Dict[str, Tensor]:
        """A view for those who compute with it.

        Args:
            camera: one.
            obb_box: box that the scene is cropped to.

        Returns:
            `rgb`, `depth`, `accumulation` and the label outputs (see `nerfseg_ns.semantics.outputs`), each [height,
            width, channels].
        """
        return super().get_outputs_for_camera(camera, obb_box)

    @contextmanager
    def keeping_ray_features(self) -> Iterator[None]:
        """Within it, views keep what `classify_observed` needs of their rays."""
        before, self._keeps_ray_features = self._keeps_ray_features, True
        try:
            yield
        finally:
            self._keeps_ray_features = before

    @torch.no_grad()
    def classify_observed(
        self, outputs: Dict[str, Tensor], image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width classes"]:
        """Logits of a view that was rendered within `keeping_ray_features`, with the colors of its photo, brought to
        the scene's exposure where the run knows of exposures."""
        if self.exposures is not None:
            image = find_exposure(outputs["rgb"], image).neutral(image)
        rays = self.fusion.unpack(outputs[RAY_FEATURES].flatten(0, 1))
        logits = self.fusion.of_rays(rays, image.reshape(-1, 3))
        return self.fusion.with_image(logits.view(*image.shape[:2], -1), image, is_photo=True)

    def get_loose_ray_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """Outputs of rays that make no image, as ns-export draws them: as of a view, but for what looks at images."""
        outputs = self._render_chunks(ray_bundle)
        if LOGITS not in outputs:
            return outputs
        palette = self.palette.to(outputs["rgb"].device)
        return {**outputs, **label_outputs(outputs[LOGITS], outputs["rgb"], palette)}

    def get_rgba_image(self, outputs: Dict[str, Tensor], output_name: str = "rgb") -> Float[Tensor, "*batch 4"]:
        """An output of colors, and the share of each ray that ends in the scene: nerfstudio's exporters leave out rays
        with less than half.

        Raises:
            UserError: of loose rays none has more; the exporters would draw others for ever.
        """
        colors, accumulation = outputs[output_name], outputs["accumulation"]
        if colors.ndim == 2 and not (accumulation > 0.5).any():
            raise UserError(
                f"Of {len(colors):,} rays of the photos not one ends in the scene: there is nothing to export. Look at "
                "depth and accumulation in the viewer; stage 1 may have had too few steps."
            )
        return torch.cat([colors, accumulation], dim=-1)

    def get_ray_outputs(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        """All that the pixels of a view do not have from their surroundings."""
        reduced = self.config.render_precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            outputs = self._render_rays(ray_bundle)
        return {name: values.float() for name, values in outputs.items()}

    def _render_rays(self, ray_bundle: RayBundle) -> Dict[str, Tensor]:
        finest = self.render(ray_bundle)[-1]
        rgb, accumulation = finest.rgb.clamp(0.0, 1.0), finest.accumulation.clamp(0.0, 1.0)
        outputs = {"rgb": rgb, "depth": finest.depth, "accumulation": accumulation}
        return {**outputs, **self._get_ray_labels(finest, rgb)}

    def _get_ray_labels(self, level: RenderedLevel, rgb: Float[Tensor, "rays 3"]) -> Dict[str, Tensor]:
        """Logits of rays, once labels are learnt, and what `classify_observed` needs."""
        if self.stage is Stage.IMPLICIT:
            return {}
        fusion = self.fusion
        rays = fusion.render(level)
        kept = {RAY_FEATURES: rays.pack()} if self._keeps_ray_features else {}
        return {LOGITS: fusion.of_rays(rays, rgb), **kept}
