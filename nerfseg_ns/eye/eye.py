"""The trained eye: class probabilities of a photo, learnt from a few labelled ones in seconds.

A backbone that was trained on other images sees the photo; small decoders of its feature maps learn the scene's
classes. Only they are saved with a run.
"""

from __future__ import annotations

from typing import Dict, Iterator, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor, nn

from nerfseg_ns.core.indices import evenly_spaced_indices
from nerfseg_ns.core.seeds import seeded
from nerfseg_ns.errors import UserError
from nerfseg_ns.eye.backbone import Backbone, load_backbone
from nerfseg_ns.eye.config import NO_BACKBONE, EyeConfig
from nerfseg_ns.eye.copies import SeenCopy, see_copies
from nerfseg_ns.eye.decoder import PyramidDecoder
from nerfseg_ns.eye.descent import descend
from nerfseg_ns.eye.pyramid import Pyramid
from nerfseg_ns.eye.refine import guided_filter
from nerfseg_ns.eye.skill import find_skill
from nerfseg_ns.eye.training_patches import TrainingPatches
from nerfseg_ns.eye.training_pixels import SeenPixels
from nerfseg_ns.eye.turns import TEST_TURNS, turn, turn_back
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.label_maps import resize_labels

STEP = 2
"""Pixels, both ways, of which one is classified; what lies between is read between them."""

LabelledPicture = Tuple[Float[Tensor, "height width 3"], UInt8[Tensor, "height width"]]
"""Colors 0 to 1, and class indices."""


def make_eye(config: EyeConfig, num_classes: int) -> Optional[Eye]:
    """The eye that a config asks for; None for none."""
    return None if config.backbone == NO_BACKBONE else Eye(config, num_classes)


class Eye(nn.Module):
    """Frozen features and learnt classifiers.

    Args:
        config: of backbone and classifiers.
        num_classes: number of classes.

    Attributes:
        skill: share of labelled pixels that are named rightly without having learnt from their part of the photo; 1
            where that could not be measured.
        is_measured: whether `learn` could measure it.
        has_looked: whether it was shown labels, in this run or the one that it was loaded from.
        is_learnt: whether it has learnt them; one of little skill need not.

    Raises:
        UserError: an option makes no sense, or the backbone's weights cannot be loaded.
    """

    def __init__(self, config: EyeConfig, num_classes: int) -> None:
        super().__init__()
        config.check()
        self.config, self.num_classes = config, num_classes
        backbone = load_backbone(config.backbone, "cpu")
        decoders = [PyramidDecoder(backbone, num_classes) for _ in range(config.decoders)]
        self.decoders = nn.ModuleList(decoders).eval().requires_grad_(False)
        self.register_buffer("skill", torch.ones(()))
        self.register_buffer("is_learnt", torch.zeros((), dtype=torch.bool))
        self.register_buffer("has_looked", torch.zeros((), dtype=torch.bool))
        self.is_measured = False

    @property
    def backbone(self) -> Backbone:
        """On the device of the classifiers. It is no part of this module: checkpoints would hold it."""
        return load_backbone(self.config.backbone, str(self.skill.device))

    def _load_from_state_dict(self, state_dict: Dict[str, Tensor], prefix: str, *args) -> None:
        """Runs of an earlier version have other classifiers: they go on without their eye."""
        older = [name for name in state_dict if name.startswith(f"{prefix}heads.")]
        if older:
            for name in older:
                del state_dict[name]
            state_dict.update({f"{prefix}{name}": values for name, values in self.state_dict().items()})
            CONSOLE.print(
                "[yellow]The trained eye of this run is of an earlier version: it is not used, nor is the field that "
                "it taught, until stage 2 is trained on. Train it anew with --stage1-from and this run's folder."
            )
        if f"{prefix}is_learnt" in state_dict:  # a run of an earlier version does not know whether it looked
            state_dict.setdefault(f"{prefix}has_looked", state_dict[f"{prefix}is_learnt"].clone())
        super()._load_from_state_dict(state_dict, prefix, *args)

    def train(self, mode: bool = True) -> Eye:
        """Nothing trains it but `learn`."""
        return super().train(False)

    @torch.no_grad()
    def learn(self, pictures: Sequence[LabelledPicture], seed: int = 0, least_skill: float = -1.0) -> None:
        """Learns the classes from labelled photos, anew.

        Args:
            pictures: at least one, with at least one labelled pixel in all; each is asked for once.
            seed: of all that is random.
            least_skill: an eye of this skill or less is not asked for anything, and need learn nothing more.

        Raises:
            UserError: no pixel is labelled.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = evenly_spaced_indices(len(pictures), min(len(pictures), self.config.max_copies))
        copies = [copy for place in chosen for copy in self._see(pictures[place], generator, len(chosen))]
        copies = [copy for copy in copies if (copy.labels != IGNORE_INDEX).any()]
        if not copies:
            raise UserError("No pixel of the labelled photos is labelled, so that the eye has nothing to learn from.")
        most = max(1, self.config.trial_pixels // (len(copies) * self.num_classes))
        pixels = SeenPixels.join([SeenPixels.of(copy, most, generator) for copy in copies])
        skill = find_skill(pixels, self.num_classes, seed)
        self.is_measured = skill is not None
        self.skill.fill_(skill if self.is_measured else 1.0)
        self.has_looked.fill_(True)
        self.is_learnt.fill_(float(self.skill) > least_skill)
        if not self.is_learnt:
            return
        with seeded(seed, self.skill.device):
            patches, scale = TrainingPatches(copies, self.num_classes, generator), pixels.scale
            for decoder in track(self.decoders, "The eye learns the labels", console=CONSOLE, transient=True):
                decoder.reset(*scale)
                self._descend(decoder, patches)

    def _descend(self, decoder: PyramidDecoder, patches: TrainingPatches) -> None:
        weights = patches.weights.to(self.skill.device)

        def find_loss() -> Float[Tensor, ""]:
            maps, labels = patches.draw(self.config.patches)
            return F.cross_entropy(decoder(maps), labels, weights, ignore_index=IGNORE_INDEX)

        descend(decoder, self.config.steps, find_loss)

    def _see(self, picture: LabelledPicture, generator: torch.Generator, photos: int) -> Iterator[SeenCopy]:
        image, labels = (values.to(self.skill.device) for values in picture)
        image = self._as_seen(image.movedim(-1, 0))
        if labels.shape != image.shape[1:]:
            resized = resize_labels(labels.cpu().numpy(), (image.shape[2], image.shape[1]))
            labels = torch.from_numpy(resized).to(image.device)
        return see_copies(self.backbone, self.config, image, labels, generator, photos)

    def scale(self, longest: int) -> float:
        """How much a photo whose longer side has so many pixels is enlarged or reduced before the backbone sees it."""
        return min(max(longest, self.config.least_side), self.config.side) / longest

    def _as_seen(self, image: Float[Tensor, "3 height width"]) -> Float[Tensor, "3 rows columns"]:
        """A photo in the size that the backbone is to see."""
        longest = max(image.shape[1:])
        wanted = round(self.scale(longest) * longest)
        if wanted == longest:
            return image
        size = [max(1, round(side * wanted / longest)) for side in image.shape[1:]]
        return F.interpolate(image[None], size=size, mode="bicubic", antialias=wanted < longest)[0].clamp(0, 1)

    @torch.no_grad()
    def probabilities(
        self, image: Float[Tensor, "height width 3"], turns: Optional[int] = None
    ) -> Float[Tensor, "height width classes"]:
        """Class probabilities of every pixel of a photo.

        Args:
            image: colors 0 to 1.
            turns: turns and mirrors that are averaged; as the config says unless given.
        """
        seen = self._as_seen(image.to(self.skill.device).movedim(-1, 0))
        ways = TEST_TURNS[: turns or self.config.test_turns]
        found = torch.stack([turn_back(self._classify(turn(seen, way)), way) for way in ways]).mean(dim=0)
        if self.config.refine_radius > 0:
            guide = F.interpolate(seen[None], size=found.shape[1:], mode="area")[0]
            found = guided_filter(found, guide, self.config.refine_radius, self.config.refine_epsilon)
            found = found.clamp(min=1e-4)
            found = found / found.sum(dim=0)
        found = F.interpolate(found[None], size=image.shape[:2], mode="bilinear", antialias=False)[0]
        return found.movedim(0, -1)

    def _classify(self, image: Float[Tensor, "3 height width"]) -> Float[Tensor, "classes rows columns"]:
        """Probabilities of every `STEP`-th pixel."""
        pyramid = Pyramid.of(self.backbone, image.contiguous())
        rows, columns = (self._lattice(side) for side in image.shape[1:])
        opinions = [decoder(pyramid.maps).softmax(dim=1) for decoder in self.decoders]
        return pyramid.lattice(torch.stack(opinions).mean(dim=0), rows, columns)

    def _lattice(self, side: int) -> Float[Tensor, "pixels"]:
        count = -(-side // STEP)
        return (torch.arange(count, device=self.skill.device) + 0.5) * (side / count) - 0.5
