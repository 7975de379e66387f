"""The parts of the bench: its scenes, its quick scores, its memory, the yardstick's config."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nerfseg_ns.bench.held_out import HeldOut
from nerfseg_ns.bench.memory import PeakMemory
from nerfseg_ns.bench.scenes import enlarge, labelled_pixels, reclassify, thin_labels
from nerfseg_ns.bench.variants import straightforward, variant_config
from nerfseg_ns.core.stage import Stage
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.runs.session import Session


def outputs_of(scene, split="train"):
    return CarlaMVSDataParserConfig(data=scene).setup().get_dataparser_outputs(split)


def test_few_labels(small_town, tmp_path):
    assert labelled_pixels(small_town) == 4 * 48**2
    thin = thin_labels(small_town, tmp_path / "thin", 500)
    # every fifth pixel both ways: 10 x 10 of 48 x 48 in each of four photos
    assert labelled_pixels(thin) == 4 * 10**2
    for path in (thin / "train" / "label").iterdir():
        labels, town = np.asarray(Image.open(path)), np.asarray(Image.open(small_town / "train" / "label" / path.name))
        assert ((labels == town) | (labels == IGNORE_INDEX)).all()
    assert len(outputs_of(thin).metadata["semantics"].labelled) == 4


def test_other_classes(small_town, tmp_path):
    scene = reclassify(small_town, tmp_path / "classes", 100)
    maps = outputs_of(scene).metadata["semantics"]
    assert len(maps.classes) == 100
    seen = np.unique(np.concatenate([maps.read(index, 48, 48).numpy().ravel() for index in maps.labelled]))
    assert len(seen) > 90 and seen.max() == 99


def test_larger_photos_show_the_same(small_town, tmp_path):
    scene = enlarge(small_town, tmp_path / "large", 96, views=5, labelled=2)
    outputs = outputs_of(scene)
    stems = [path.stem for path in outputs.image_filenames]
    assert stems == ["0001", "0004", "0008", "0011", "0014"]  # of 16, evenly
    labels = outputs.metadata["semantics"]
    assert labels.labelled == (1, 3)
    truth = np.asarray(Image.open(small_town / "truth" / "train" / "label" / "0004.png"))
    assert (labels.read(1, 96, 96)[..., 0].numpy() == truth.repeat(2, 0).repeat(2, 1)).all()
    town = outputs_of(small_town)
    corner = torch.tensor([[10.0, 30.0]])  # y, x
    small = town.cameras.generate_rays(torch.tensor([[4]]), coords=corner)
    large = outputs.cameras.generate_rays(torch.tensor([[1]]), coords=2 * corner)
    assert torch.allclose(small.directions, large.directions, atol=1e-6) and torch.equal(small.origins, large.origins)
    photos = [np.asarray(Image.open(path).convert("RGB").resize((48, 48))) for path in outputs.image_filenames]
    original = np.asarray(Image.open(town.image_filenames[4]))
    assert np.abs(photos[1].astype(int) - original).mean() < 8 < np.abs(photos[0].astype(int) - original).mean()


@pytest.fixture(scope="module")
def session(small_town, tmp_path_factory) -> Session:
    """A short training of nerfseg-fast, in stage 2."""
    config = variant_config("nerfseg-fast", small_town, tmp_path_factory.mktemp("session"), rays=128)
    config.pipeline.model.geometry.resolutions = (16, 32)
    config.pipeline.stages.implicit_steps, config.pipeline.stages.semantic_steps = 20, 10
    session = Session(config)
    for step in range(30):
        session.run_step(step)
    return session


def test_quick_scores_are_the_commands_where_every_pixel_counts(session, small_town):
    expected = session.trainer.pipeline.get_average_eval_image_metrics()["miou"]
    assert HeldOut(session, small_town, (1, 4)).score() == pytest.approx(expected, abs=1e-6)


def test_quick_depth_error_is_the_median_over_some_pixels(session, small_town):
    session.trainer.pipeline.set_step(0)
    session.trainer.pipeline.eval()
    errors = []
    for index in range(4):
        camera = session.trainer.pipeline.datamanager.eval_dataset.cameras[index : index + 1]
        depth = session.model.get_outputs_for_camera(camera)["depth"][::4, ::4, 0].numpy().astype(np.float64)
        truth = np.load(small_town / "truth" / "test" / "depth" / f"{index:04d}.npy")[::4, ::4].astype(np.float64)
        known = np.isfinite(truth)
        errors.append(np.abs(depth - truth)[known] / truth[known])
    assert HeldOut(session, small_town, (1, 4)).score() == pytest.approx(np.median(np.concatenate(errors)), rel=1e-4)


def test_a_strided_map_is_the_whole_map_at_these_pixels(session, monkeypatch):
    monkeypatch.setattr(session.model, "color_context", None)  # it looks at the pixels around
    camera = session.test_camera(40)
    whole, part = session.render_labels(camera), session.render_labels(camera, stride=8)
    assert whole.shape == (40, 40) and session.model.stage is Stage.SEMANTIC
    assert torch.equal(whole[::8, ::8], part)


def test_the_yardstick_leaves_nothing_out_and_gains_no_fields():
    older = SimpleNamespace(pipeline=SimpleNamespace(model=SimpleNamespace(semantics=SimpleNamespace(min_weight=0.1))))
    straightforward(older)
    assert vars(older.pipeline.model.semantics) == {"min_weight": 0.0}
    assert vars(older.pipeline).keys() == {"model"} and vars(older.pipeline.model).keys() == {"semantics"}


@pytest.mark.parametrize("variant", ["paper", "nerfseg-fast-plain"])
def test_plain_variants_differ_from_their_methods_in_those_fields_only(variant, tmp_path):
    from nerfseg_ns.bench.variants import METHOD_OF

    plain, method = (variant_config(name, tmp_path, tmp_path, 64).pipeline for name in (variant, METHOD_OF[variant]))
    traded = [(plain.labelled_rays, "max_megabytes", 0), (plain.model.semantics, "min_weight", 0)]
    traded += [(plain.model.semantics, "max_samples", 0), (plain.model, "render_precision", "float32")]
    assert all(getattr(owner, name) == value for owner, name, value in traded)
    straightforward(SimpleNamespace(pipeline=method))
    assert plain == method


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its peak")
def test_memory_peaks_of_phases_do_not_mix():
    memory = PeakMemory("cpu")
    block = np.ones(300_000_000, np.uint8)
    memory.finish("large")
    del block
    memory.start()
    memory.finish("small")
    table = json.loads(json.dumps(memory.table))
    assert table["memory_large"] - table["memory_small"] == pytest.approx(3e8, rel=0.05)
