"""The compared radiance fields and the transfer through depth, on a small town with tiny networks."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.configs import small_config
from helpers.runs import METHODS as GEOMETRIES
from helpers.runs import geometry_of, load
from torch import nn

from nerfseg_ns.compare.fields import run_config
from nerfseg_ns.compare.fields.geometry import geometry_facts, train_geometry
from nerfseg_ns.compare.fields.nearest_labels import NearestLabels
from nerfseg_ns.compare.fields.view_quality import ViewQuality
from nerfseg_ns.compare.job import run_job
from nerfseg_ns.compare.jobfile import JobFile
from nerfseg_ns.compare.make_method import make_method
from nerfseg_ns.compare.method import Job, TrainingBudget
from nerfseg_ns.compare.methods import METHODS
from nerfseg_ns.compare.scene import ComparedScene
from nerfseg_ns.errors import UserError
from nerfseg_ns.evaluation.depth import read_true_depth
from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.model import GUIDANCE_LOGITS
from nerfseg_ns.semantics.level import LevelSemantics
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town

pytestmark = pytest.mark.slow

EFFORT = TrainingBudget(implicit_steps=4, semantic_steps=3)
NUM_LABELLED = 2
RADIANCE = [name for name, info in METHODS.items() if info.kind == "radiance"]
JOINT = [name for name, info in METHODS.items() if info.kind == "joint"]


@pytest.fixture(scope="module", autouse=True)
def small_methods():
    """The methods with networks that step in milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        for geometry in GEOMETRIES:
            patch.setitem(run_config.METHOD_CONFIGS, geometry, small_config(geometry))
        yield


@pytest.fixture(scope="module")
def scene(small_town) -> ComparedScene:
    """The town with fewer labels than it has."""
    return ComparedScene(small_town, NUM_LABELLED)


@pytest.fixture(scope="module")
def stage1(scene, tmp_path_factory) -> dict[str, Path]:
    """A finished stage 1 of each geometry."""
    return {
        geometry: train_geometry(scene, geometry, 0, EFFORT, tmp_path_factory.mktemp("geometry"))
        for geometry in GEOMETRIES
    }


@pytest.fixture(scope="module")
def trained(scene, stage1, tmp_path_factory):
    """Trained methods, each trained once: `trained("fast")`."""
    known = {}

    def get(name: str):
        if name not in known:
            info = METHODS[name]
            geometry = stage1.get(info.geometry) if info.needs_geometry else None
            job = Job(name, info, scene, 1, EFFORT, tmp_path_factory.mktemp(name), geometry)
            known[name] = make_method(job)
            known[name].train()
        return known[name]

    return get


@pytest.fixture(scope="module")
def small_nerfw():
    """semantic-nerfw with fewer rays and samples."""
    from nerfstudio.configs.method_configs import method_configs

    config = copy.deepcopy(method_configs["semantic-nerfw"])
    config.pipeline.datamanager.train_num_rays_per_batch = 64
    model = config.pipeline.model
    model.num_levels, model.log2_hashmap_size = 2, 10
    model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = (8, 8), 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(method_configs, "semantic-nerfw", config)
        yield


def require_predictions(method) -> None:
    """Labels and confidences of a test view and of an unlabelled training photo are what they have to be."""
    scene, info = method.job.scene, method.job.info
    unlabelled = next(view for view in range(len(scene.train)) if view not in scene.labelled_views)
    for split, view in (("test", scene.test_views[0]), ("train", unlabelled)):
        predictions = method.predict(split, view)
        assert set(predictions) == set(info.colors)
        for prediction in predictions.values():
            size = scene.read(split, view).image.shape[:2]
            assert prediction.labels.shape == prediction.confidence.shape == size
            assert prediction.labels.dtype == np.uint8 and prediction.labels.max() < len(scene.table)
            assert 0 < prediction.confidence.min() and prediction.confidence.max() <= 1


@pytest.mark.parametrize("name", [*RADIANCE, *JOINT, "transfer"])
def test_predictions(name, trained):
    method = trained(name)
    require_predictions(method)
    facts = method.facts()
    assert 5 < facts["psnr"] < 60 and facts["depth_error"] > 0
    assert all(value > 0 for key, value in facts.items() if key.endswith("seconds"))
    assert ("stage1_seconds" in facts) == method.job.info.needs_geometry


@pytest.mark.parametrize("name", [*RADIANCE, *JOINT, "transfer"])
def test_settings_are_those_of_the_job(name, trained, stage1):
    job = trained(name).job
    config = yaml.load(trained(name).config_text(), Loader=yaml.Loader)
    assert config.machine.seed == job.seed and config.pipeline.datamanager.num_labelled == NUM_LABELLED
    assert config.pipeline.datamanager.dataparser.data == job.scene.folder
    assert config.get_base_dir().is_relative_to(job.folder)
    assert config.pipeline.stages.total_steps == EFFORT.implicit_steps + EFFORT.semantic_steps
    assert config.stage1_from == job.geometry


@pytest.mark.parametrize("name", RADIANCE)
def test_rows_without_r_or_c_have_no_such_modules(name, trained):
    info, modules = METHODS[name], trained(name).session.model.semantics.modules()
    levels = [module for module in modules if isinstance(module, LevelSemantics)]
    assert levels
    for level in levels:
        convolves = [not isinstance(module, nn.Identity) for module in level.ray_convolutions]
        assert convolves == [info.ray_convolution] * len(convolves)
        assert [level.color_radiance is not None, level.c2s is not None] == [info.color_radiance] * 2


@pytest.mark.parametrize("name", RADIANCE)
def test_stage_1_is_taken_over_to_the_last_bit(name, trained, stage1):
    learnt = geometry_of(load(stage1[METHODS[name].geometry]))
    found = trained(name).session.trainer.pipeline.state_dict()
    assert learnt and all(torch.equal(found[key], value) for key, value in learnt.items())


def test_stage_1_of_a_job_sees_no_more_labels_than_its_method(small_town, tmp_path):
    job = JobFile(
        folder=str(tmp_path),
        scene=str(small_town),
        truth=None,
        seed=0,
        budget=TrainingBudget(implicit_steps=2),
        method=None,
        geometry="nerfseg-fast",
        labels=1,
        maps_all=False,
        stage1=None,
        maps=None,
        threads=torch.get_num_threads(),
        digest="",
    )
    run_job(job)
    (config,) = tmp_path.rglob("config.yml")
    assert yaml.load(config.read_text(), Loader=yaml.Loader).pipeline.datamanager.num_labelled == 1


@pytest.mark.parametrize("name", ["fast", *JOINT])
def test_only_labels_that_may_be_seen_are_learnt(name, trained, scene):
    """Rays of labels in many batches."""
    manager = trained(name).session.trainer.pipeline.datamanager
    assert list(manager.train_dataset.label_maps.labelled) == scene.labelled_views
    assert len(scene.labelled_views) == NUM_LABELLED
    manager.semantic_batches = None  # which would be drawn from without their photos' numbers
    for _ in range(5):
        rays, batch = manager.next_train(0)
        labelled = batch["semantics"][:, 0] != IGNORE_INDEX
        assert set(rays.camera_indices[labelled, 0].tolist()) == set(scene.labelled_views)


@pytest.mark.parametrize("name", JOINT)
def test_joint_batches_hold_any_pixels_and_labelled_ones(name, trained, scene):
    manager = trained(name).session.trainer.pipeline.datamanager
    share = manager.train_pixel_sampler.config.labelled_share
    rays, batch = manager.next_train(0)
    count = manager.config.train_num_rays_per_batch
    assert len(rays) == count == len(batch["image"])
    labelled = batch["semantics"][:, 0] != IGNORE_INDEX
    assert labelled[-round(share * count) :].all() and not labelled.all()
    assert set(rays.camera_indices[:, 0].tolist()) > set(scene.labelled_views)
    for ray in range(0, count, 7):  # colors and labels are those of the pixels that the rays go through
        view, row, column = batch["indices"][ray].tolist()
        photo = scene.read("train", view)
        assert batch["semantics"][ray, 0] == photo.labels[row, column]
        assert np.allclose(batch["image"][ray].numpy() * 255, photo.image[row, column], atol=1e-3)


@pytest.mark.parametrize("name", JOINT)
def test_joint_colors_and_labels_reach_the_density(name, trained):
    session = trained(name).session
    pipeline = session.trainer.pipeline.train()
    density = [value for key, value in pipeline.model.geometry.named_parameters() if "density" in key]
    assert density
    _, losses, _ = pipeline.get_train_loss_dict(EFFORT.implicit_steps)
    for loss in ("guidance_loss", next(key for key in losses if key.startswith("rgb_loss"))):
        gradients = torch.autograd.grad(losses[loss], density, retain_graph=True, allow_unused=True)
        assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients), loss
    pipeline.eval()


@pytest.mark.parametrize("name", JOINT)
def test_joint_unlabelled_pixels_take_no_part_in_the_label_loss(name, trained):
    pipeline = trained(name).session.trainer.pipeline.train()
    rays, batch = pipeline.datamanager.next_train(0)
    outputs = pipeline.model(rays)
    loss = pipeline.model.get_loss_dict(outputs, batch)["guidance_loss"]
    labelled = batch["semantics"][:, 0] != IGNORE_INDEX
    for logits in outputs[GUIDANCE_LOGITS]:  # of every cascade level
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert len(gradient) == labelled.sum() and (gradient.abs().sum(dim=-1) > 0).all()
    pipeline.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", JOINT)
def test_joint_logits_against_a_slow_reference(name, trained, scene):
    """Every sample by itself: its logits times its weight, and what light is left times the logits behind."""
    model = trained(name).session.model
    rays = scene.test.cameras.generate_rays(camera_indices=0, keep_shape=True)[::16, ::16].flatten()
    level = model.geometry(rays)[-1]
    heads = model.guidance.logits.levels[-1]
    found = heads(level.segments)
    for ray in range(len(rays)):
        light, logits = 1.0, torch.zeros(len(model.class_names))
        for head, segment in zip(heads.heads, level.segments, strict=True):
            for sample, weight in enumerate(segment.weights[ray, :, 0].tolist()):
                feature = segment.features[ray, sample]
                if name == "seg-nerf-fast":
                    place = heads.position_features(segment.positions[ray, sample][None, None])
                    feature = torch.cat([feature, place[0, 0]])
                share = float(segment.transmittance[ray]) * weight
                logits, light = logits + share * head(feature), light - share
        assert torch.allclose(found[ray], logits + light * heads.behind, atol=1e-4)


def slow_nearest(points, labels, query, neighbours) -> tuple[int, float]:
    """The vote on one point, from all distances."""
    distances = [float(np.sqrt(((point - query) ** 2).sum())) for point in points]
    votes: dict[int, float] = {}
    for index in sorted(range(len(points)), key=distances.__getitem__)[:neighbours]:
        votes[labels[index]] = votes.get(labels[index], 0.0) + 1 / (distances[index] + 1e-9)
    best = max(votes, key=votes.__getitem__)
    return best, votes[best] / sum(votes.values())


@pytest.mark.parametrize("neighbours", [1, 3, 8])
@pytest.mark.parametrize("count", [2, 40])
def test_nearest_labels_against_a_slow_reference(neighbours, count):
    rng = np.random.default_rng(count)
    points, queries = rng.normal(size=(count, 3)), rng.normal(size=(60, 3))
    labels = rng.integers(0, 5, count).astype(np.uint8)
    found, confidence = NearestLabels(points, labels, 5, neighbours).at(queries)
    expected = [slow_nearest(points, labels.tolist(), query, neighbours) for query in queries]
    assert found.tolist() == [label for label, _ in expected]
    assert confidence == pytest.approx([share for _, share in expected], rel=1e-5)
    assert neighbours > 1 or (confidence == 1).all()


def test_with_the_true_depth_a_labelled_view_gets_its_own_labels(scene):
    points, labels = [], []
    for view in scene.labelled_views:
        photo = scene.read("train", view)
        depth = read_true_depth(scene.folder, photo.stem, "train")
        rays = scene.train.cameras.generate_rays(camera_indices=view, keep_shape=True)
        lengths = torch.from_numpy(np.where(np.isfinite(depth), depth, 100.0))[..., None]
        points.append((rays.origins + lengths * rays.directions).reshape(-1, 3).numpy())
        labels.append(photo.labels.ravel())
    known = NearestLabels(np.concatenate(points), np.concatenate(labels), len(scene.table))
    for own_points, own_labels in zip(points, labels, strict=True):
        found, confidence = known.at(own_points)
        assert (found == own_labels).all() and confidence.min() > 0.99


def test_transfer_gives_labelled_photos_their_own_labels(trained, scene):
    """Whatever the depth is: a pixel and its label end at the same place."""
    method = trained("transfer")
    assert len(method.known.labels) == sum(
        (scene.read("train", view).labels != IGNORE_INDEX).sum() for view in scene.labelled_views
    )
    for view in scene.labelled_views:
        labels = scene.read("train", view).labels
        predicted = method.predict("train", view)["rendered"].labels
        assert (predicted == labels)[labels != IGNORE_INDEX].mean() > 0.999


def test_stage_1_of_another_method_is_refused(scene, stage1, tmp_path):
    job = Job("transfer", METHODS["transfer"], scene, 0, EFFORT, tmp_path, stage1["nerfseg"])
    with pytest.raises(UserError, match="geometry"):
        make_method(job).train()


def test_seconds_of_stage_1_are_kept_with_it(stage1, tmp_path):
    assert all(geometry_facts(run)["stage1_seconds"] > 0 for run in stage1.values())
    assert geometry_facts(tmp_path) == {}  # as of a run of ns-train


def unit_of_truth(scene: ComparedScene, view: int) -> float:
    """The run's units in one of the truth, from the distance of a test view's camera to the origin."""
    stem = scene.test.image_filenames[view].stem
    poses = (scene.folder / f"{root}test/pose/{stem}.txt" for root in ("", "truth/"))
    pose = next(path for path in poses if path.exists())
    true = np.linalg.norm(np.loadtxt(pose).reshape(4, 4)[:3, 3])
    return float(scene.test.cameras.camera_to_worlds[view, :, 3].norm() / true)


@pytest.mark.parametrize("layout", ["carla-mvs", "earth-studio"])
def test_quality_of_perfect_and_of_worse_views(layout, tmp_path):
    """In whatever units the truth is kept."""
    views = {"train_views": 8, "validation_views": 1, "test_views": 2, "labelled_views": 2}
    scene = ComparedScene(make_town(TownConfig(image_size=32, layout=layout, **views), tmp_path / "town"))
    known = [
        (view, np.load(path))
        for view in scene.test_views
        if (path := scene.folder / f"truth/test/depth/{scene.test.image_filenames[view].stem}.npy").exists()
    ]
    assert len(known) == 2
    for error in (0.0, 0.1):
        quality = ViewQuality(scene)
        assert quality.summary() == {}
        for view, depth in known:
            photo = scene.test.get_data(view)["image"]
            lengths = np.where(np.isfinite(depth), depth, 1e3) * (1 + error) * unit_of_truth(scene, view)
            for _ in range(2):  # the second time does not count
                quality.add(view, {"rgb": photo + 0.1, "depth": torch.from_numpy(lengths)[..., None]}, photo)
        found = quality.summary()
        assert found["depth_error"] == pytest.approx(error, abs=1e-4)
        assert 20 <= found["psnr"] < 21  # 0.1 off where it stays below 1


def test_semantic_nerfw(small_nerfw, trained):
    method = trained("semantic-nerfw")
    require_predictions(method)
    session = method.session
    assert session.config.max_num_iterations == EFFORT.implicit_steps + EFFORT.semantic_steps
    rays, batch = session.trainer.pipeline.datamanager.next_train(0)
    outputs = session.model.train()(rays)
    metrics = session.model.get_metrics_dict(outputs, batch)
    assert session.model.get_loss_dict(outputs, batch, metrics)["semantics_loss"] > 0
    batch["semantics"][:] = IGNORE_INDEX
    assert session.model.get_loss_dict(outputs, batch, metrics)["semantics_loss"] == 0
    session.model.eval()
