"""The field that the trained eye teaches: what it learns from, when, and what it says."""

from __future__ import annotations

import shutil

import torch
from helpers.runs import load, same, snapshot

from nerfseg_ns.core.stage import Stage
from nerfseg_ns.eye.config import DEFAULT_BACKBONE
from nerfseg_ns.eye.eye import make_eye
from nerfseg_ns.semantics.fusion import Fusion
from nerfseg_ns.semantics.height_opinion import HeightOpinion, HeightOpinionConfig
from nerfseg_ns.semantics.taught_field import FieldEyeConfig
from nerfseg_ns.training.teaching import Teacher


def test_trust_rises_with_skill():
    config = FieldEyeConfig(least_skill=0.6, full_skill=0.8)
    assert [round(config.trust(skill), 6) for skill in (0.1, 0.6, 0.7, 0.8, 1.0)] == [0, 0, 0.5, 1, 1]


def test_the_eye_counts_less_where_heights_tell_the_classes_apart():
    config = FieldEyeConfig(backbone=DEFAULT_BACKBONE, decoders=1, weight=1.0, flat_weight=3.0)
    eye, height = make_eye(config, 3), HeightOpinion(HeightOpinionConfig(least_gain=0.2, full_gain=0.4), 3)

    def photo_weight(height):
        return round(Fusion(None, None, height, None, eye, config).photo_weight, 5)

    assert photo_weight(None) == 0  # it has learnt nothing yet
    eye.is_learnt.fill_(True)
    assert photo_weight(None) == 3 and photo_weight(height) == 3
    height.is_learnt.fill_(True)
    found = []
    for gain in (0.1, 0.2, 0.3, 0.4, 1.0):
        height.gain.fill_(gain)
        found.append(photo_weight(height))
    assert found == [3, 3, 2, 1, 1]
    eye.skill.fill_((config.least_skill + config.full_skill) / 2)
    assert photo_weight(height) == 0.5


def with_eye(config):
    config.pipeline.model.eye = FieldEyeConfig(
        backbone=DEFAULT_BACKBONE,
        decoders=1,
        steps=20,
        trial_pixels=500,
        copies=4,
        least_side=96,
        photos=3,
        rays=600,
        min_confidence=0.0,
    )
    config.pipeline.model.eye.least_skill = config.pipeline.model.eye.full_skill = 0.0  # it is a town: it would not be


def test_the_eye_teaches_the_field(small_town, make_trainer, step_trainer):
    """Stage 2 has rays of unlabelled photos; what is taught is saved, what is frozen is not, and a view shows it."""
    trainer = make_trainer(small_town, 3, 3, change=with_eye)
    pipeline, model = trainer.pipeline, trainer.pipeline.model
    step_trainer(trainer, range(3))
    assert pipeline.datamanager.semantic_batches is None and not model.eye.is_learnt
    losses = step_trainer(trainer, range(3, 6))
    assert {"f2s_loss", "taught_f2s_loss"} <= set(losses) and model.eye.is_learnt
    draw = pipeline.datamanager.semantic_batches.taught
    assert 0 < len(draw.__self__.kept) <= 600 and len(draw(40)) == 40
    trainer.save_checkpoint(5)
    saved = load(trainer.base_dir)["pipeline"]
    assert any("eye.decoders" in name for name in saved) and not any("backbone" in name for name in saved)
    pipeline.eval()
    camera = pipeline.datamanager.eval_dataset.cameras[0:1]
    image = pipeline.datamanager.eval_dataset.get_data(0)["image"]
    with torch.no_grad(), model.keeping_ray_features():
        outputs = model.get_view(camera)
        seen = model.classify_observed(outputs, image).softmax(-1)
        model.config.eye.weight = model.config.eye.flat_weight = 0.0
        unseen = model.classify_observed(outputs, image).softmax(-1)
    assert seen.shape == (48, 48, len(model.class_names)) and not torch.allclose(seen, unseen, atol=1e-3)


def test_taught_rays_have_the_eyes_labels_at_their_photos_pixels(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 1, 2, change=with_eye)
    step_trainer(trainer, range(2))
    manager, model = trainer.pipeline.datamanager, trainer.pipeline.model
    kept, dataset = manager.semantic_batches.taught.__self__.kept, manager.train_dataset
    free = [view for view in range(len(dataset)) if view not in dataset.label_maps.labelled]
    images = [dataset.get_neutral(view)["image"] for view in free]
    colors = torch.cat([image.flatten(0, 1) for image in images])
    seen = torch.cat([model.eye.probabilities(image, turns=1).argmax(-1).flatten() for image in images])
    assert len(seen.unique()) > 1
    for color, label in zip(kept.observed[:40], kept.labels):
        places = torch.isclose(colors, color.float(), rtol=0, atol=1e-3).all(dim=1)  # mostly one
        assert places.any() and int(label) in seen[places].tolist()


def test_the_eye_waits_until_labels_can_be_seen(small_town, make_trainer, step_trainer):
    def change(config):
        with_eye(config)
        config.pipeline.model.eye.first_step = 2

    trainer = make_trainer(small_town, 1, 12, change=change)
    losses = step_trainer(trainer, range(3))  # two of them in stage 2
    eye = trainer.pipeline.model.eye
    assert "f2s_loss" in losses and "taught_f2s_loss" not in losses and not eye.is_learnt
    assert "taught_f2s_loss" in step_trainer(trainer, range(3, 5)) and eye.is_learnt


def test_it_teaches_where_no_rays_are_kept_and_it_is_sure_of_nothing(small_town, make_trainer, step_trainer):
    def change(config):
        with_eye(config)
        config.pipeline.labelled_rays.max_megabytes = 0
        config.pipeline.model.eye.min_confidence = 1.1  # it is sure of nothing

    trainer = make_trainer(small_town, 1, 3, change=change)
    losses = step_trainer(trainer, range(3))
    drawn = trainer.pipeline.datamanager.semantic_batches.taught(30)
    assert "taught_f2s_loss" in losses and len(drawn) == 30 and drawn.labels.dtype == torch.int64


def test_all_photos_may_be_labelled(small_town, make_trainer, step_trainer, tmp_path):
    """Nothing is left that the eye could teach: the field learns from the user's labels twice."""
    scene = tmp_path / "scene"
    shutil.copytree(small_town, scene)
    labelled = {path.stem for path in (scene / "train" / "label").iterdir()}
    for folder in (scene / "train").iterdir():
        for path in folder.iterdir():
            if path.stem not in labelled:
                path.unlink()
    trainer = make_trainer(scene, 1, 3, change=with_eye)
    losses = step_trainer(trainer, range(3))
    assert "taught_f2s_loss" in losses and trainer.pipeline.model.height.is_learnt
    assert len(trainer.pipeline.datamanager.semantic_batches.taught(30)) == 30


def test_heights_have_their_photos_without_a_teaching_eye(small_town, make_trainer, step_trainer):
    def change(config):
        with_eye(config)
        config.pipeline.model.eye.photos = 0

    trainer = make_trainer(small_town, 1, 3, change=change)
    step_trainer(trainer, range(3))
    found = Teacher(trainer.pipeline.model, trainer.pipeline.datamanager, 1024)._look(teaches=False)
    assert trainer.pipeline.model.height.is_learnt and found is not None and found.seen is None


def without_skill(config):
    with_eye(config)
    config.pipeline.model.eye.least_skill, config.pipeline.model.eye.full_skill = 1.0, 1.0


def test_an_eye_without_skill_is_not_tried_again(small_town, make_trainer, step_trainer, monkeypatch):
    trainer = make_trainer(small_town, 1, 3, change=without_skill)
    step_trainer(trainer, range(3))
    trainer.save_checkpoint(2)
    resumed = make_trainer(small_town, 1, 3, change=without_skill, load_dir=trainer.checkpoint_dir, timestamp="again")
    monkeypatch.setattr(resumed.pipeline.model.eye, "learn", None)
    assert "f2s_loss" in step_trainer(resumed, range(3, 4))


def test_an_eye_without_skill_has_no_say(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 1, 3, change=without_skill)
    losses = step_trainer(trainer, range(3))
    model = trainer.pipeline.model.eval()
    assert "taught_f2s_loss" not in losses and model.fusion.trust == 0 and model.fusion.fields == [model.semantics]
    camera = trainer.pipeline.datamanager.eval_dataset.cameras[0:1]
    seen, model.eye = model.get_outputs_for_camera(camera)["semantics_logits"], None
    assert torch.equal(seen, model.get_outputs_for_camera(camera)["semantics_logits"])


def test_a_resumed_run_has_its_eye(small_town, make_trainer, step_trainer):
    trainer = make_trainer(small_town, 2, 4, change=with_eye)
    step_trainer(trainer, range(4))
    trainer.save_checkpoint(3)
    resumed = make_trainer(small_town, 2, 4, change=with_eye, load_dir=trainer.checkpoint_dir, timestamp="again")
    assert resumed.pipeline.model.eye.is_learnt
    assert same(snapshot(resumed.pipeline.model.eye), snapshot(trainer.pipeline.model.eye))
    step_trainer(resumed, range(4, 6))
    assert resumed.pipeline.model.stage is Stage.SEMANTIC
    assert resumed.pipeline.datamanager.semantic_batches.taught is not None
