"""The CNNs of the comparison: networks, attention, augmentation, loss, held-out labels, added maps, training."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.scenes import TABLE, save_image, write_view

from nerfseg_ns.compare.cnn.augmentation import Augmentation
from nerfseg_ns.compare.cnn.config import CONFIGS, CNNConfig, DilatedConfig, PyramidConfig, UNetConfig
from nerfseg_ns.compare.cnn.danet import ChannelAttention, PositionAttention
from nerfseg_ns.compare.cnn.hold_out import hold_out
from nerfseg_ns.compare.cnn.inference import probabilities
from nerfseg_ns.compare.cnn.loss import class_weights, segmentation_loss
from nerfseg_ns.compare.cnn.method import CNNMethod
from nerfseg_ns.compare.cnn.networks import build_network
from nerfseg_ns.compare.cnn.photos import TrainingPhoto, added_photos, labelled_photos
from nerfseg_ns.compare.cnn.search import Learner, window_of
from nerfseg_ns.compare.cnn.training import batches, rate_factor
from nerfseg_ns.compare.method import Job, TrainingBudget
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX

pytestmark = pytest.mark.slow

NETWORKS = ("unet", "danet", "deeplabv3", "fpn")
SMALL = CNNConfig(
    epochs=12,
    epoch_crops=8,
    batch_size=4,
    warmup_steps=2,
    ema_decay=0.8,
    unet=UNetConfig((8, 8, 8, 8, 8, 8)),
    dilated=DilatedConfig(widths=(8, 8), blocks=1, output_stride=4, head_channels=8),
    pyramid=PyramidConfig(8),
)
SIDE = 40
"""Of the photos here, pixels: not a multiple of what the networks halve."""


def color_coded(seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A photo of blocks in their class's color with a little noise, and its labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, (5, 5), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    colors = np.array([(220, 40, 40), (40, 220, 40), (40, 40, 220)])[labels] + random.integers(-9, 10, (SIDE, SIDE, 1))
    return colors.astype(np.uint8), labels


def photo_of(seed: int) -> TrainingPhoto:
    image, labels = color_coded(seed)
    return TrainingPhoto(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels))


@pytest.fixture
def scene(tmp_path) -> Path:
    """Six training photos, four of them labelled, whose truth is known, and a labelled test view."""
    for split, seeds in (("train", range(6)), ("validation", (6,)), ("test", (7,))):
        for seed in seeds:
            image, labels = color_coded(seed)
            stem = write_view(tmp_path / "scene" / split, seed, image)
            if split == "test" or seed < 4:
                save_image(tmp_path / "scene" / split / "label" / f"{stem}.png", labels)
            if split == "train":
                save_image(tmp_path / "scene" / "truth" / "train" / "label" / f"{stem}.png", labels)
    TABLE.save(tmp_path / "scene" / "classes.json")
    return tmp_path / "scene"


def job_of(scene: Path, method: str, **changes) -> Job:
    job = Job(method, METHODS[method], ComparedScene(scene), seed=0, budget=TrainingBudget(), folder=scene)
    return replace(job, **changes)


def write_maps(folder: Path, confidence: int) -> Path:
    """Maps of the unlabelled photos 4 and 5: class 1 everywhere, as confident as told in the left half, else not."""
    sure = np.zeros((SIDE, SIDE), np.uint8)
    sure[:, : SIDE // 2] = confidence
    for stem in ("0004", "0005"):
        save_image(folder / f"{stem}.png", np.ones((SIDE, SIDE), np.uint8))
        save_image(folder / f"{stem}-confidence.png", sure)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(32, 32), (37, 50), (65, 41)])
def test_logits_have_the_size_of_the_photo(name, size):
    network = build_network(name, 5, CONFIGS[name])
    assert network(torch.randn(2, 3, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_output_stride(stride):
    widths = DilatedConfig(widths=(8, 8, 8, 8), blocks=1, output_stride=stride)
    network = build_network("deeplabv3", 5, replace(SMALL, dilated=widths))
    assert network.backbone(torch.randn(2, 3, 64, 64)).shape[-2:] == (64 // stride, 64 // stride)


def test_position_attention_is_equations_1_and_2():
    torch.manual_seed(0)
    attention, features = PositionAttention(16).requires_grad_(False), torch.randn(2, 16, 3, 4)
    attention.alpha.fill_(0.7)
    query, key, value = (getattr(attention, name)(features).flatten(2) for name in ("query", "key", "value"))
    expected, flat = torch.empty(2, 16, 12), features.flatten(2)
    for batch in range(2):
        for j in range(12):
            weights = torch.tensor([torch.dot(key[batch, :, i], query[batch, :, j]).exp() for i in range(12)])
            attended = sum(weights[i] / weights.sum() * value[batch, :, i] for i in range(12))
            expected[batch, :, j] = 0.7 * attended + flat[batch, :, j]
    torch.testing.assert_close(attention(features), expected.view_as(features))


def test_channel_attention_is_equations_3_and_4():
    torch.manual_seed(0)
    attention, features = ChannelAttention().requires_grad_(False), 0.3 * torch.randn(2, 5, 3, 4)
    attention.beta.fill_(0.7)
    expected, flat = torch.empty(2, 5, 12), features.flatten(2)
    for batch in range(2):
        for j in range(5):
            weights = torch.tensor([torch.dot(flat[batch, i], flat[batch, j]).exp() for i in range(5)])
            attended = sum(weights[i] / weights.sum() * flat[batch, i] for i in range(5))
            expected[batch, j] = 0.7 * attended + flat[batch, j]
    torch.testing.assert_close(attention(features), expected.view_as(features))


def test_augmentation_moves_labels_with_the_image():
    torch.manual_seed(0)
    augment = Augmentation(replace(CNNConfig(), vertical_flip=True, color_jitter=0.0), (48, 32))
    for seed in range(20):
        image, labels = augment(photo_of(seed))
        assert image.shape == (3, 48, 32) and labels.shape == (48, 32) and labels.dtype == torch.uint8
        known = labels != IGNORE_INDEX
        assert 0.1 < known.float().mean() < 1  # the photo is lower than the crop
        # at borders colors are interpolated and labels are not
        values = labels[None].float()
        inside = F.max_pool2d(values, 5, 1, 2) == -F.max_pool2d(-values, 5, 1, 2)
        sure = known & inside[0]
        assert sure.sum() > 50 and (image.argmax(dim=0) == labels)[sure].all()


def test_ignored_pixels_take_no_part_in_the_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 5, requires_grad=True), torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    labels[:, :2] = IGNORE_INDEX
    weights = torch.tensor([1.0, 2.0, 0.5])
    loss = segmentation_loss(logits, labels, weights)
    total = norm = 0.0
    for batch, row, column in np.ndindex(2, 4, 5):
        if labels[batch, row, column] != IGNORE_INDEX:
            label = int(labels[batch, row, column])
            total -= weights[label] * logits[batch, :, row, column].log_softmax(0)[label]
            norm += weights[label]
    torch.testing.assert_close(loss, total / norm)
    loss.backward()
    assert (logits.grad[:, :, :2] == 0).all() and (logits.grad[:, :, 2:] != 0).all()
    assert segmentation_loss(logits, torch.full_like(labels, IGNORE_INDEX), weights) == 0


def test_class_weights():
    # shares 0.8 and 0.2 and a class that does not occur; to the power of -1/2, over their mean of 0.8 a + 0.2 b
    labels = torch.tensor([[0, 0, 0, 0, 1, IGNORE_INDEX]], dtype=torch.uint8)
    photo = TrainingPhoto(torch.zeros(3, 1, 6, dtype=torch.uint8), labels)
    a, b = 0.8**-0.5, 0.2**-0.5
    expected = torch.tensor([a, b, 0.0]) / (0.8 * a + 0.2 * b)
    torch.testing.assert_close(class_weights([photo], 3, 0.5), expected)
    torch.testing.assert_close(class_weights([photo], 3, 0.0), torch.tensor([1.0, 1.0, 0.0]))


def test_whole_photos_are_held_out_of_three_or_more():
    photos = [photo_of(seed) for seed in range(8)]
    rest, held_out = hold_out(photos[:3], 0.25)
    assert (len(rest), len(held_out)) == (2, 1) and held_out[0] is photos[1]
    rest, held_out = hold_out(photos, 0.25)
    assert (len(rest), len(held_out)) == (6, 2)
    assert {id(photo) for photo in rest + held_out} == {id(photo) for photo in photos}


def test_columns_are_held_out_of_fewer():
    photo = photo_of(0)
    photo.labels[:, 30:] = IGNORE_INDEX  # 30 labelled columns
    (rest,), (held_out,) = hold_out([photo], 0.2)
    assert torch.equal(rest.labels[:, :24], photo.labels[:, :24]) and (rest.labels[:, 24:] == IGNORE_INDEX).all()
    assert torch.equal(held_out.labels[:, 24:], photo.labels[:, 24:])
    assert (held_out.labels[:, :24] == IGNORE_INDEX).all()


def test_windows_and_crops_of_an_epoch():
    photos = [photo_of(0), TrainingPhoto(torch.zeros(3, 300, 130).byte(), torch.zeros(300, 130).byte())]
    assert window_of(photos[:1], 256) == (48, 48) and window_of(photos, 256) == (256, 144)
    # 1 + 2 windows of 256 x 144 cover the photos: below the least of 8; 1 + 7 * 3 of 48 x 48 are above it
    assert len(batches(photos, SMALL, (256, 144))) == 2
    assert len(batches(photos, SMALL, (48, 48))) == 6
    images, labels = next(iter(batches(photos, SMALL, (48, 48))))
    assert images.shape == (4, 3, 48, 48) and labels.shape == (4, 48, 48)


def test_learning_rate():
    assert [rate_factor(step, 4, None) for step in (0, 1, 3, 50)] == [0.25, 0.5, 1.0, 1.0]
    assert rate_factor(50, 4, 100) == pytest.approx(0.5) and rate_factor(100, 4, 100) == pytest.approx(0.0)


def test_large_photos_are_seen_through_windows():
    class Color(torch.nn.Module):
        """Its logits are the colors, so that windows must not show."""

        def forward(self, images):
            assert images.shape[-2:] == (32, 48)
            return images

    image = torch.randint(0, 256, (3, 50, 131), dtype=torch.uint8)
    expected = ((image.float() / 255 - 0.5) / 0.25).softmax(dim=0)
    torch.testing.assert_close(probabilities(Color(), image, (32, 48)), expected, atol=1e-5, rtol=0)


def test_maps_of_low_confidence_are_ignored(scene, tmp_path):
    job = job_of(scene, "unet+maps", maps=write_maps(tmp_path / "maps", confidence=230))
    for photo in added_photos(job, min_confidence=0.9):  # 230 of 255
        assert (photo.labels[:, : SIDE // 2] == 1).all() and (photo.labels[:, SIDE // 2 :] == IGNORE_INDEX).all()
    assert not any(photo.is_labelled for photo in added_photos(job, min_confidence=0.91))
    assert len(added_photos(job, 0.9)) == 2 and added_photos(job_of(scene, "unet"), 0.9) == []


def test_true_labels_are_added(scene):
    for seed, photo in zip((4, 5), added_photos(job_of(scene, "unet+truth"), 0.9), strict=True):
        assert torch.equal(photo.labels, photo_of(seed).labels) and torch.equal(photo.image, photo_of(seed).image)


def test_bad_maps(scene, tmp_path):
    with pytest.raises(UserError, match="no folder of maps"):
        added_photos(job_of(scene, "unet+maps"), 0.9)
    maps = write_maps(tmp_path / "maps", 255)
    (maps / "0005-confidence.png").unlink()
    with pytest.raises(UserError, match="0005-confidence.png"):
        added_photos(job_of(scene, "unet+maps", maps=maps), 0.9)
    save_image(maps / "0005-confidence.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(UserError, match=r"\(3, 4\).*\(40, 40\)"):
        added_photos(job_of(scene, "unet+maps", maps=maps), 0.9)


def test_photos_without_a_labelled_pixel_are_left_out(scene):
    for stem in ("0000", "0001"):
        save_image(scene / "train" / "label" / f"{stem}.png", np.full((SIDE, SIDE), IGNORE_INDEX, np.uint8))
    assert len(labelled_photos(ComparedScene(scene))) == 2
    save_image(scene / "train" / "label" / "0002.png", np.full((SIDE, SIDE), IGNORE_INDEX, np.uint8))
    with pytest.raises(UserError, match="None of the 1 labelled"):
        labelled_photos(ComparedScene(scene, num_labelled=1))  # the middle one, 0002


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trivial_scene_is_learnt(scene, name):
    method = CNNMethod(job_of(scene, name, budget=TrainingBudget(cnn_epochs=30)), SMALL)
    method.train()
    prediction = method.predict("test", 0)["observed"]
    assert prediction.labels.shape == (SIDE, SIDE) and prediction.labels.dtype == np.uint8
    assert (prediction.confidence > 0).all() and (prediction.confidence <= 1).all()
    assert (prediction.labels == color_coded(7)[1]).mean() > 0.7  # of three classes
    facts = method.facts()
    assert 1 <= facts["epochs"] <= 30 and facts["held_out_miou"] > 0.35
    assert facts["parameters"] == sum(w.numel() for w in build_network(name, 3, SMALL).parameters())
    settings = yaml.safe_load(method.config_text())
    assert settings["epochs"] == 30 and settings["network"] == name and settings["unet"]["features"] == [8] * 6


def test_the_seed_decides(scene):
    photos = labelled_photos(ComparedScene(scene))
    short = replace(SMALL, epochs=1)
    weights = []
    for seed in (1, 1, 2):
        network = Learner("unet", TABLE.names, short, seed).learn(photos, []).network
        weights.append(torch.cat([w.detach().flatten() for w in network.parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_labels_that_cannot_be_parted_are_all_learnt(scene):
    stroke = photo_of(0)
    stroke.labels[:, 1:] = IGNORE_INDEX
    learnt = Learner("unet", TABLE.names, replace(SMALL, epochs=2), 0).learn([stroke], [])
    assert learnt.epochs == 2 and learnt.held_out_miou is None


def test_without_monai_the_message_says_how_to_get_it(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(UserError, match=r"pip install 'nerfseg\[compare\]'"):
        CNNMethod(job_of(scene, "unet"))
