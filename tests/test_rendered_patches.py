"""Windows of labelled photos as the learnt scene shows them."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Dict

import pytest
import torch

from nerfseg_ns.data.rendered_patches import PatchRenderer
from nerfseg_ns.labels.classes import IGNORE_INDEX

SIZES = [(20, 30), (33, 17), (8, 50), (24, 24), (20, 30)]
UNLABELLED, HIDDEN = 1, 3
"""Photos that have no label map, and one whose mask hides all its labels, as `LabelledDataset` has it."""


@dataclass
class Photos:
    """Stands in for a dataset: a few labelled pixels in each photo."""

    photos: Dict[int, Dict[str, torch.Tensor]]

    @property
    def label_maps(self) -> SimpleNamespace:
        return SimpleNamespace(labelled=[view for view in self.photos if view != UNLABELLED])

    def get_bytes(self, view: int) -> Dict[str, torch.Tensor]:
        return self.photos[view]


@pytest.fixture
def photos() -> Photos:
    torch.manual_seed(0)
    made = {}
    for view, size in enumerate(SIZES):
        labelled = torch.rand(*size, 1) < 0.02
        labelled[size[0] // 3, -1] = True
        mask = torch.full((*size, 1), view != HIDDEN)
        mask[0] = False
        made[view] = {"semantics": torch.where(labelled & mask, 2, IGNORE_INDEX).byte(), "mask": mask}
    return Photos(made)


def render(pixels: torch.Tensor) -> torch.Tensor:
    """The rays are the pixels themselves, and their colors too."""
    return pixels.float()


@pytest.mark.parametrize(
    "max_pixels, least", [(10_000, 4), (900, 8), (300, 4), (200, 8), (70, 8), (5, 1), (1, 1), (50, 9)]
)
def test_windows_show_labelled_places(max_pixels, least, photos):
    patches = PatchRenderer(photos, lambda pixels: pixels, render, rays_per_chunk=37).render_patches(max_pixels, least)
    assert sum(patch.colors[..., 0].numel() for patch in patches.values()) <= max_pixels
    for view, patch in patches.items():
        assert view not in (UNLABELLED, HIDDEN)
        rows, columns = patch.colors.shape[:2]
        for row in range(SIZES[view][0]):
            for column in range(SIZES[view][1]):
                inside = patch.top <= row < patch.top + rows and patch.left <= column < patch.left + columns
                assert patch.holds(row, column) == inside
                if inside:
                    color = patch.colors[row - patch.top, column - patch.left]
                    assert color.tolist() == [view, row, column]
        data = photos.get_bytes(view)
        labelled = (data["semantics"] != IGNORE_INDEX)[..., 0].nonzero().tolist()
        assert any(patch.holds(*place) for place in labelled)


def test_photos_are_whole_where_there_is_room(photos):
    patches = PatchRenderer(photos, lambda pixels: pixels, render, rays_per_chunk=1000).render_patches(10_000, 8)
    assert {view: tuple(patch.colors.shape[:2]) for view, patch in patches.items()} == {
        view: size for view, size in enumerate(SIZES) if view not in (UNLABELLED, HIDDEN)
    }


def test_rather_fewer_windows_than_small_ones(photos):
    patches = PatchRenderer(photos, lambda pixels: pixels, render, rays_per_chunk=1000).render_patches(200, 8)
    assert len(patches) < 4 and all(min(patch.colors.shape[:2]) >= 8 for patch in patches.values())
