"""The semantic stage: its modules' sizes, Table III's rows, the ray convolution, the losses and the outputs."""

import itertools

import pytest
import torch
from helpers.rays import losses_of, rendered_levels
from nerfstudio.utils.colormaps import apply_colormap
from torch import nn

from nerfseg_ns.geometry.base import LevelLayout
from nerfseg_ns.geometry.nerfpp import NeRFPPGeometryConfig
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.method_configs.nerfseg import nerfseg
from nerfseg_ns.method_configs.nerfseg_fast import nerfseg_fast
from nerfseg_ns.semantics.heads import C2SHead, F2SHead
from nerfseg_ns.semantics.losses import label_loss
from nerfseg_ns.semantics.outputs import displayable, label_outputs, pending_outputs
from nerfseg_ns.semantics.position_features import PositionFeatures
from nerfseg_ns.semantics.ray_convolution import RayConvolution
from nerfseg_ns.semantics.semantic_stage import SemanticStage, SemanticStageConfig

CLASSES = 20


def shapes(module: nn.Module) -> list:
    """Shapes of a module's weights, in order, without the biases."""
    return [tuple(parameter.shape) for name, parameter in module.named_parameters() if name.endswith("weight")]


def small_stage(num_classes: int = 5, **changes) -> SemanticStage:
    config = SemanticStageConfig(hidden_dim=16, feature_dim=8, **changes)
    return SemanticStage(config, (LevelLayout((8, 8)), LevelLayout((8, 8))), num_classes)


def test_geometry_of_nerfseg_has_the_papers_shapes():
    geometry = nerfseg.config.pipeline.model.geometry
    assert isinstance(geometry, NeRFPPGeometryConfig)
    assert (geometry.num_coarse_samples, geometry.num_importance_samples) == (64, 128)
    assert nerfseg.config.pipeline.datamanager.train_num_rays_per_batch == 1024
    built = geometry.setup()
    for level in (built.coarse, built.fine):
        for network, coordinates in ((level.foreground, 3), (level.background, 4)):
            encoded = coordinates * (1 + 2 * 10)
            assert shapes(network.mlp_base) == [
                (256, encoded),
                *[(256, 256)] * 3,
                (256, 256 + encoded),  # the encoded position once more, after layer 4
                *[(256, 256)] * 3,
            ]
            assert shapes(network.field_output_density) == [(1, 256)]
            assert shapes(network.location_remap) == [(256, 256)]
            assert shapes(network.mlp_head) == [(128, 256 + 3 * (1 + 2 * 4))]
            assert shapes(network.field_heads) == [(3, 128)]
            listed = sum(p.numel() for p in network.parameters())
            named = [network.mlp_base, network.field_output_density, network.location_remap]
            parts = [*named, network.mlp_head, network.field_heads]
            assert listed == sum(p.numel() for part in parts for p in part.parameters())
    assert not set(map(id, built.coarse.parameters())) & set(map(id, built.fine.parameters()))


def test_semantic_stage_of_nerfseg_has_the_papers_shapes():
    model = nerfseg.config.pipeline.model
    stage = SemanticStage(model.semantics, model.geometry.setup().levels, CLASSES)
    assert len(stage.members[0].levels) == 2
    for level, kernel in zip(stage.members[0].levels, (3, 5), strict=True):
        assert level.position_features is None
        assert [shapes(mlp) for mlp in level.seg_mlps] == [[(256, 256), (128, 256)]] * 2
        assert [shapes(convolution) for convolution in level.ray_convolutions] == [[(128, 128, kernel)]] * 2
        assert shapes(level.color_radiance) == [(16, 3), (64, 16)]
        assert [shapes(head) for head in level.f2s] == [[(CLASSES, 128 + 64)]] * 2
        assert shapes(level.c2s) == [(CLASSES, 64)]


def test_optimizers_and_lengths_of_nerfseg_are_the_papers():
    stages, optimizers = nerfseg.config.pipeline.stages, nerfseg.config.optimizers
    assert 300_000 <= stages.implicit_steps <= 500_000 and stages.semantic_steps == 20_000
    assert optimizers["geometry"]["optimizer"].lr == 5e-4 and optimizers["semantics"]["optimizer"].lr == 1e-3
    assert nerfseg.config.pipeline.model.training_color == "observed"


def test_both_methods_have_the_same_semantic_stage():
    one, other = (spec.config.pipeline.model.semantics for spec in (nerfseg, nerfseg_fast))
    assert type(one) is type(other) and one._target is other._target
    assert other.ray_convolution and other.color_radiance


@pytest.mark.parametrize(
    ("row", "convolves", "colored"),
    [("baseline", False, False), ("+ R", True, False), ("+ R + C", True, True)],
)
def test_rows_of_table_3(row, convolves, colored):
    torch.manual_seed(0)
    stage = small_stage(ray_convolution=convolves, color_radiance=colored)
    modules = list(stage.modules())
    assert any(isinstance(module, nn.Conv1d) for module in modules) == convolves
    assert any(isinstance(module, C2SHead) for module in modules) == colored
    heads = [module.linear.in_features for module in modules if isinstance(module, F2SHead)]
    assert heads == [8 + (64 if colored else 0)] * 4

    levels, color = rendered_levels(), torch.rand(6, 3)
    losses = losses_of(stage, levels, color, torch.arange(6) % 5)
    assert set(losses) == ({"f2s_loss", "c2s_loss"} if colored else {"f2s_loss"})
    features, transmittances = stage.render_features(levels[-1])
    logits = stage.classify(features, transmittances, color)
    assert torch.equal(logits, stage.classify(features, transmittances, 1 - color)) != colored

    swapped = levels[-1].segments
    order = torch.randperm(9)
    for segment in swapped:  # a permutation of the samples matters to a convolution, and to nothing else
        segment.features, segment.weights = segment.features[:, order], segment.weights[:, order]
    again = stage.classify(*stage.render_features(levels[-1]), color)
    assert torch.allclose(logits, again, atol=1e-5) != convolves


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_ray_convolution_is_the_plain_loop(kernel):
    torch.manual_seed(kernel)
    rays, samples, dim = 3, 7, 4
    module = RayConvolution(dim, kernel)
    features = torch.randn(rays, samples, dim)
    weight, bias = module.convolution.weight, module.convolution.bias
    expected = torch.zeros(rays, samples, dim)
    for ray in range(rays):
        for sample in range(samples):
            for out in range(dim):
                total = bias[out]
                for offset in range(kernel):
                    neighbour = sample + offset - kernel // 2
                    if 0 <= neighbour < samples:
                        total = total + weight[out, :, offset] @ features[ray, neighbour]
                expected[ray, sample, out] = total.clamp(min=0)
    assert torch.allclose(module(features), expected, atol=1e-6)


def test_ray_convolution_never_mixes_rays():
    torch.manual_seed(0)
    module = RayConvolution(8, 5)
    features = torch.randn(6, 11, 8)
    changed = features.clone()
    changed[2] += torch.randn(11, 8)
    before, after = module(features), module(changed)
    others = torch.arange(6) != 2
    assert torch.equal(before[others], after[others])
    assert not torch.allclose(before[2], after[2])


def test_position_features_learn_nothing_about_other_places():
    """What labels teach at one place changes nothing at a place in its row, its column or above it."""
    torch.manual_seed(0)
    features = PositionFeatures((16, 32))
    places = torch.tensor([[0.5, -0.5, -0.9], [0.5, 0.5, -0.9], [-0.5, -0.5, -0.9], [0.5, -0.5, 0.9]])[:, None]
    before = features(places).detach()
    features(places[:1]).sum().backward()
    with torch.no_grad():
        for grid in features.parameters():
            grid -= grid.grad
    after = features(places).detach()
    assert ((after - before)[0].abs() > 0.1).all() and torch.equal(after[1:], before[1:])


def test_position_features_against_a_slow_interpolation():
    features = PositionFeatures((5,))
    grid = features.grids[0].detach()[0]  # components, up, y, x
    generator = torch.Generator().manual_seed(0)
    for place in torch.rand(20, 3, generator=generator) * 2 - 1:
        sizes = torch.tensor([grid.shape[3], grid.shape[2], grid.shape[1]])
        cell = (place + 1) / 2 * (sizes - 1)
        low = cell.floor().long()
        expected = torch.zeros(grid.shape[0])
        for corner in itertools.product((0, 1), repeat=3):
            index = torch.minimum(low + torch.tensor(corner), sizes - 1)
            weight = torch.where(torch.tensor(corner) == 1, cell - low, 1 - (cell - low)).prod()
            expected += weight * grid[:, index[2], index[1], index[0]]
        torch.testing.assert_close(features(place.view(1, 1, 3))[0, 0].detach(), expected, atol=1e-7, rtol=1e-4)


def test_position_features_tell_places_apart():
    torch.manual_seed(0)
    levels, color = rendered_levels(), torch.rand(6, 3)
    without, with_positions = small_stage(), small_stage(position_resolutions=(8, 16))
    labels = torch.arange(6) % 5
    plain, placed = (stage.members[0].levels for stage in (without, with_positions))
    assert plain[0].seg_mlps[0].remap.in_features == 8 < placed[0].seg_mlps[0].remap.in_features
    losses_of(with_positions, levels, color, labels)["f2s_loss"].backward()
    for level in placed:
        assert all((plane.grad != 0).any() for plane in level.position_features.parameters())
    before = [stage.classify(*stage.render_features(levels[-1]), color) for stage in (without, with_positions)]
    for segment in levels[-1].segments:
        segment.positions = segment.positions.flip(0)
    after = [stage.classify(*stage.render_features(levels[-1]), color) for stage in (without, with_positions)]
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_ray_convolution_refuses_an_even_kernel():
    with pytest.raises(ValueError, match="odd kernel size, got 4"):
        RayConvolution(8, 4)


def test_logits_are_the_segments_logits_dimmed_by_what_lies_before():
    torch.manual_seed(1)
    stage, levels, color = small_stage(), rendered_levels(), torch.rand(6, 3)
    level = stage.members[0].levels[-1]
    expected = torch.zeros(6, 5)
    for index, segment in enumerate(levels[-1].segments):
        samples = level.ray_convolutions[index](level.seg_mlps[index](segment.features))
        for ray in range(6):
            feature = sum(segment.weights[ray, s, 0] * samples[ray, s] for s in range(samples.shape[1]))
            inputs = torch.cat([feature, level.color_radiance(color[ray : ray + 1])[0]])
            expected[ray] += segment.transmittance[ray, 0] * level.f2s[index].linear(inputs)
    assert torch.allclose(stage.classify(*stage.render_features(levels[-1]), color), expected, atol=1e-5)


def test_losses_sum_over_the_levels():
    torch.manual_seed(2)
    stage, levels, color = small_stage(), rendered_levels(), torch.rand(6, 3)
    labels = torch.tensor([0, 1, IGNORE_INDEX, 3, 4, 4])
    losses = losses_of(stage, levels, color, labels)
    f2s = c2s = 0.0
    for level, rendered in zip(stage.members[0].levels, levels, strict=True):
        features = level.color_features(color)
        logits = level.classify(
            level.render_features(rendered.segments), [s.transmittance for s in rendered.segments], features
        )
        for ray in (0, 1, 3, 4, 5):
            f2s -= logits[ray].log_softmax(-1)[labels[ray]] / 5
            c2s -= level.c2s(features)[ray].log_softmax(-1)[labels[ray]] / 5
    assert torch.allclose(losses["f2s_loss"], f2s) and torch.allclose(losses["c2s_loss"], c2s)


def test_losses_without_a_label_are_zero_with_finite_gradients():
    torch.manual_seed(3)
    stage = small_stage()
    losses = losses_of(stage, rendered_levels(), torch.rand(6, 3), torch.full((6,), IGNORE_INDEX))
    assert all(loss.item() == 0 for loss in losses.values())
    sum(losses.values()).backward()
    gradients = [parameter.grad for parameter in stage.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert all((gradient == 0).all() for gradient in gradients)


def test_label_loss_is_the_mean_over_labelled_rays():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, -5.0]])
    labels = torch.tensor([0, 0, IGNORE_INDEX])
    # -log(e^2 / (e^2 + 1)) = 0.126928, -log(1 / (1 + e)) = 1.313262, and the third does not count
    assert label_loss(logits, labels).item() == pytest.approx((0.126928 + 1.313262) / 2, abs=1e-5)


def view_colors() -> torch.Tensor:
    """Colors of a view of 16 x 24 pixels."""
    return torch.rand(16, 24, 3)


@pytest.mark.parametrize("num_classes", [1, 2, 3, 4, 20])
@pytest.mark.parametrize("half_alike", [False, True])
def test_label_outputs_can_be_shown(num_classes, half_alike):
    torch.manual_seed(num_classes)
    rgb, palette, logits = view_colors(), torch.rand(num_classes, 3), torch.randn(16, 24, num_classes)
    if half_alike:
        logits[:8] = logits[0, 0]
    outputs = label_outputs(logits, rgb, palette)
    assert torch.equal(outputs["semantics_logits"], logits)
    assert torch.equal(outputs["semantics_colormap"], palette[logits.argmax(-1)])
    assert torch.equal(outputs["semantics_confidence"][..., 0], logits.softmax(-1).max(-1).values)
    shown = displayable(logits)
    torch.testing.assert_close(shown[..., :num_classes], logits, atol=1.1e-3, rtol=0)
    assert_shown({**outputs, "semantics_logits": shown})


@pytest.mark.parametrize("num_classes", [1, 2, 3, 4, 20])
def test_pending_outputs_can_be_shown(num_classes):
    torch.manual_seed(0)
    rgb = view_colors()
    outputs = pending_outputs(rgb, num_classes)
    assert torch.equal(outputs["semantics_overlay"], rgb)
    grey = outputs["semantics_colormap"]
    assert torch.equal(grey, grey[..., :1].expand(-1, -1, 3))
    assert_shown({**outputs, "semantics_logits": displayable(outputs["semantics_logits"])})


def assert_shown(outputs: dict) -> None:
    """nerfstudio makes finite colors of every output, in the shape of a picture."""
    keys = {"semantics_colormap", "semantics_overlay", "semantics_confidence", "semantics_logits"}
    assert set(outputs) == keys
    for name, output in outputs.items():
        picture = apply_colormap(output.clone())
        assert picture.shape == (16, 24, 3), name
        assert torch.isfinite(picture).all(), name
        assert picture.min() >= 0 and picture.max() <= 1, name


def test_outputs_have_the_same_keys_in_the_same_order_before_and_after():
    rgb = view_colors()
    pending = pending_outputs(rgb, 4)
    known = label_outputs(torch.randn(16, 24, 4), rgb, torch.rand(4, 3))
    assert list(pending) == list(known)
    assert {key: value.shape for key, value in pending.items()} == {key: value.shape for key, value in known.items()}
