"""Photos of different exposure: found from a learnt scene, learnt with it, and taken out of what looks at colors."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from nerfseg_ns.core.stage import EXPOSURE_GROUP, Stage
from nerfseg_ns.data.photo_exposures import PhotoExposures
from nerfseg_ns.exposure.exposure import Exposure, find_exposure
from nerfseg_ns.exposure.learnt_exposures import LearntExposures

GAINS, OFFSETS = torch.tensor([0.7, 0.9, 1.2]), torch.tensor([0.05, -0.03, 0.0])
DARK = 0.6
"""What every second photo of the test's town is dimmed to."""
STEPS = 150


def scene_colors(seed: int = 0) -> torch.Tensor:
    return 0.1 + 0.6 * torch.rand(60, 80, 3, generator=torch.Generator().manual_seed(seed))


def test_an_exposure_is_found_among_pixels_that_show_something_else():
    scene = scene_colors()
    photo = scene * GAINS + OFFSETS
    photo[:12] = scene_colors(1)[:12]  # a fifth
    found = find_exposure(scene, photo)
    assert torch.allclose(found.gains, GAINS, atol=0.05) and torch.allclose(found.offsets, OFFSETS, atol=0.02)
    plain = np.polyfit(scene[..., 0].flatten(), photo[..., 0].flatten(), 1)  # what a regression alone would say
    assert abs(plain[0] - 0.7) > 3 * abs(float(found.gains[0]) - 0.7)


def test_a_blurred_scene_gives_the_same_exposure():
    """Noise of the photo that the scene does not know must not make gains smaller."""
    scene = scene_colors()
    photo = scene * GAINS + OFFSETS + 0.05 * torch.randn(scene.shape, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(find_exposure(scene, photo).gains, GAINS, atol=0.03)


def test_a_plain_view_says_nothing_of_the_gain():
    found = find_exposure(torch.full((10, 10, 3), 0.5), torch.full((10, 10, 3), 0.6))
    assert torch.allclose(found.gains, torch.ones(3), atol=1e-3) and torch.allclose(found.offsets, torch.tensor(0.1))


def test_a_scene_that_looks_otherwise_says_nothing_of_the_gain():
    found = find_exposure(scene_colors(0), scene_colors(1) + 0.1)
    assert torch.allclose(found.gains, torch.ones(3)) and torch.allclose(found.offsets, torch.tensor(0.1), atol=0.02)


def test_corrections_are_bounded():
    found = find_exposure(scene_colors(), 0.3 * scene_colors())
    assert torch.allclose(found.gains, torch.full((3,), 0.5)) and (found.offsets.abs() <= 0.2).all()


def test_photo_and_scene_are_turned_into_each_other():
    exposure, scene = Exposure(GAINS, OFFSETS), scene_colors()
    assert torch.allclose(exposure.neutral(exposure.shown(scene)), scene, atol=1e-6)


def test_photos_are_neutral_in_the_mean():
    exposures = LearntExposures(3)
    exposures.log_gains.data[:] = torch.tensor([0.0, 0.3, 0.6])[:, None]
    shown = exposures.shown(torch.ones(3, 3), torch.arange(3))
    assert torch.allclose(shown[:, 0], torch.tensor([-0.3, 0.0, 0.3]).exp())


def test_a_checkpoint_of_other_photos_loads():
    LearntExposures(3).load_state_dict(LearntExposures(5).state_dict())


def test_each_color_is_brought_to_its_own_photo():
    photos = {0: 0.5, 1: 1.0}

    def get_data(view: int) -> dict:
        return {"image": scene_colors() * photos[view]}

    exposures = PhotoExposures(get_data, lambda indices: indices, lambda rays: scene_colors()[rays[:, 1], rays[:, 2]])
    colors = torch.full((4, 3), 0.25)
    neutral = exposures.neutral(colors, torch.tensor([0, 1, 1, 0]))
    assert torch.allclose(neutral[:, 0], torch.tensor([0.5, 0.25, 0.25, 0.5]), atol=0.02)
    assert torch.equal(exposures.neutral(colors, 1), neutral[1].expand(4, 3))


def test_a_photo_that_has_been_read_is_not_read_again():
    def get_data(view: int) -> dict:
        raise AssertionError("read again")

    exposures = PhotoExposures(get_data, lambda indices: indices, lambda rays: scene_colors()[rays[:, 1], rays[:, 2]])
    found = exposures.of(0, {"image": scene_colors() * 0.5})
    assert torch.allclose(found.gains, torch.full((3,), 0.5), atol=0.02) and exposures.of(0) is found


@pytest.fixture(scope="module")
def uneven_town(small_town, tmp_path_factory):
    """The small town, every second photo of training and testing dimmed."""
    town = tmp_path_factory.mktemp("uneven") / "town"
    shutil.copytree(small_town, town)
    for split in ("train", "validation", "test"):
        for path in sorted((town / split / "rgb").glob("*.png"))[1::2]:
            Image.fromarray((np.array(Image.open(path)) * DARK).astype(np.uint8)).save(path)
    return town


@pytest.mark.slow
def test_exposures_are_learnt_and_taken_out(uneven_town, small_town, make_trainer, step_trainer):
    trainer = make_trainer(uneven_town, STEPS, 2)
    step_trainer(trainer, range(STEPS))
    pipeline, model = trainer.pipeline, trainer.pipeline.model
    grey = model.exposures.shown(torch.full((16, 3), 0.4), torch.arange(16)).mean(dim=1)
    assert float(grey[1::2].mean() / grey[0::2].mean()) < (1 + DARK) / 2
    dataset = pipeline.datamanager.train_dataset
    assert dataset.exposures is None  # stage 1 sees photos as they are
    step_trainer(trainer, range(STEPS, STEPS + 1))
    assert model.stage is Stage.SEMANTIC and not model.exposures.log_gains.requires_grad
    bright, dark = ([float(dataset.get_neutral(view)["image"].mean()) for view in range(i, 16, 2)] for i in (0, 1))
    plain = [float(dataset.get_data(view)["image"].mean()) for view in range(16)]
    before, after = np.mean(plain[1::2]) / np.mean(plain[0::2]), np.mean(dark) / np.mean(bright)
    assert before < 0.7 and 0.85 < after < 1.15
    view = int(dataset.label_maps.labelled[-1])
    pixels = dataset.get_bytes(view)["image"]
    assert torch.equal(dataset.colors(pixels, views=view), dataset.get_neutral(view)["image"])
    metrics = pipeline.get_average_eval_image_metrics()
    assert metrics["psnr"] > metrics["psnr_neutral"] + 1


@pytest.mark.slow
def test_without_it_photos_stay_as_they_are(uneven_town, make_trainer, step_trainer):
    def off(config) -> None:
        config.pipeline.model.photo_exposures = False

    trainer = make_trainer(uneven_town, 2, 2, change=off)
    step_trainer(trainer, range(3))
    model = trainer.pipeline.model
    assert model.exposures is None and EXPOSURE_GROUP not in model.get_param_groups()
    assert trainer.pipeline.datamanager.train_dataset.exposures is None
    assert "psnr_neutral" not in trainer.pipeline.get_average_eval_image_metrics()
