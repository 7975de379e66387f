"""Rendering of a learnt NeRF++ without asking its networks at samples that hardly weigh anything."""

from typing import Callable, List

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RaySamples
from torch import Tensor

from nerfseg_ns.core.samples import widen
from nerfseg_ns.geometry.base import RenderedLevel
from nerfseg_ns.geometry.inverted_sphere import bin_edges, inverse_radius_deltas
from nerfseg_ns.geometry.nerfpp_field import NeRFPPField
from nerfseg_ns.geometry.nerfpp_level import NeRFPPLevel, Part, join
from nerfseg_ns.geometry.packed import query_density, query_rgb, samples_to_query

Draw = Callable[[RaySamples, Float[Tensor, "rays samples 1"]], RaySamples]
"""Draws the fine samples from the coarse ones and their weights."""


class SkippingRenderer:
    """Renders both cascade levels from those of the networks' answers that matter.

    The coarse foreground is asked from front to back until the light is gone, the fine one in and next to the coarse
    samples that hold matter. The background is asked in the same way, for rays that still have light there. Colors are
    asked of the fine level's heaviest samples; the coarse level gets none (NaN): only stage 1 compares them.

    Args:
        coarse: networks of the coarse level.
        fine: networks of the fine level.
        draw: draws the fine samples.
        skip_weight: share of a ray's light that does not matter.
    """

    def __init__(self, coarse: NeRFPPLevel, fine: NeRFPPLevel, draw: Draw, skip_weight: float) -> None:
        self.coarse = coarse
        self.fine = fine
        self.draw = draw
        self.skip_weight = skip_weight

    def render(self, foreground: RaySamples, background: RaySamples) -> List[RenderedLevel]:
        """Renders rays, given the coarse samples of both parts."""
        everywhere = torch.ones_like(foreground.deltas[..., 0], dtype=torch.bool)
        coarse_front = self._coarse_part(self.coarse.foreground, foreground, everywhere)
        finer = self.draw(foreground, coarse_front.weights)
        fine_front = self._fine_part(self.fine.foreground, finer, self._worth_asking(finer, coarse_front))

        lit = self._lets_light_through(fine_front)  # the fine samples need the coarse weights of these rays too
        background = inverse_radius_deltas(background)
        coarse_lit = (lit | self._lets_light_through(coarse_front)) & everywhere
        coarse_back = self._coarse_part(self.coarse.background, background, coarse_lit)
        finer = inverse_radius_deltas(self.draw(background, coarse_back.weights))
        fine_back = self._fine_part(self.fine.background, finer, self._worth_asking(finer, coarse_back) & lit)
        return [join(coarse_front, coarse_back), join(fine_front, fine_back)]

    def _coarse_part(self, network: NeRFPPField, samples: RaySamples, chosen: Bool[Tensor, "rays samples"]) -> Part:
        """Weights and features of the chosen samples."""
        density, features = query_density(network, samples, chosen, self.skip_weight)
        unknown = torch.full_like(samples.frustums.origins[:, 0], torch.nan)
        return Part(samples, features, samples.get_weights(density), unknown)

    def _fine_part(self, network: NeRFPPField, samples: RaySamples, chosen: Bool[Tensor, "rays samples"]) -> Part:
        """The same with colors: the samples that are asked for theirs stand for those too light to be."""
        part = self._coarse_part(network, samples, chosen)
        asked = samples_to_query(part.weights[..., 0], self.skip_weight)
        weights = part.weights * asked[..., None]
        rgb = (weights * query_rgb(network, samples, part.features, asked)).sum(dim=-2)
        part.rgb = rgb * part.accumulation / weights.sum(dim=-2).clamp(min=1e-9)
        return part

    def _lets_light_through(self, part: Part) -> Bool[Tensor, "rays 1"]:
        """Rays of which so much passes a part that what lies behind it matters."""
        return 1.0 - part.accumulation > self.skip_weight

    def _worth_asking(self, fine: RaySamples, coarse: Part) -> Bool[Tensor, "rays samples"]:
        """Fine samples in or next to a coarse one that holds matter."""
        weighty = widen(samples_to_query(coarse.weights[..., 0], self.skip_weight), 1)
        return weighty.gather(1, enclosing_samples(fine, coarse.samples))


def enclosing_samples(fine: RaySamples, coarse: RaySamples) -> Int[Tensor, "rays fine"]:
    """Index of the coarse sample that each fine sample lies within; fine samples lie between the coarse edges."""
    edges = bin_edges(coarse).expand(len(fine), -1).contiguous()
    middles = ((fine.spacing_starts + fine.spacing_ends)[..., 0] / 2).contiguous()
    return torch.searchsorted(edges, middles).sub(1).clamp(0, coarse.shape[1] - 1)
