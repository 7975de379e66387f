"""nerfstudio's own exporters on our runs, as processes, and the files that they leave, read by trimesh."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import ClassTable

pytestmark = pytest.mark.slow

IMPLICIT_STEPS = 150
SMALL_BOX = ["--bounding-box-min", -0.6, -0.6, -0.6, "--bounding-box-max", 0.6, 0.6, 0.6]


@pytest.fixture(scope="module")
def paper_run(train, small_town) -> Path:
    """config.yml of a run of the paper's method, made tiny."""
    model = "--pipeline.model"
    flags = [
        *(f"{model}.geometry.num-coarse-samples", 8, f"{model}.geometry.num-importance-samples", 8),
        *(f"{model}.geometry.networks.num-layers", 4, f"{model}.geometry.networks.layer-width", 32),
        *(f"{model}.geometry.networks.view-width", 16),
        *(f"{model}.semantics.hidden-dim", 32, f"{model}.semantics.feature-dim", 16),
        *("--pipeline.datamanager.train-num-rays-per-batch", 128),
    ]
    return train("nerfseg", *flags, scene=small_town, implicit=IMPLICIT_STEPS, semantic=15)


@pytest.fixture(params=["fast_run", "paper_run"])
def run(request) -> Path:
    return request.getfixturevalue(request.param)


def export(ns, run: Path, out: Path, kind: str, *flags, **options) -> str:
    return ns("ns-export", kind, "--load-config", run, "--output-dir", out, *flags, **options)


def test_point_cloud(ns, run, small_town, tmp_path):
    flags = ["--num-points", 6000, "--num-rays-per-batch", 3000, "--normal-method", "open3d"]
    export(ns, run, tmp_path, "pointcloud", *flags)
    cloud = trimesh.load(tmp_path / "point_cloud.ply")
    assert len(cloud.vertices) > 5000 and np.isfinite(cloud.vertices).all()
    assert np.asarray(cloud.colors)[:, :3].std(axis=0).min() > 2


def test_rays_of_all_photos_are_drawn_from_a_run(fast_pipeline):
    """Also after stage 2, whose training draws labelled ones."""
    drawn = torch.cat([fast_pipeline.datamanager.next_train(0)[1]["indices"][:, 0] for _ in range(20)])
    assert len(drawn.unique()) == 16


def test_point_cloud_of_labels(ns, fast_run, small_town, tmp_path):
    """In the colors of the classes."""
    flags = ["--num-points", 20_000, "--num-rays-per-batch", 4000, "--normal-method", "open3d"]
    export(ns, fast_run, tmp_path, "pointcloud", *flags, "--rgb-output-name", "semantics_colormap")
    cloud = trimesh.load(tmp_path / "point_cloud.ply")
    table = ClassTable.load(small_town / "classes.json")
    known = {tuple(color) for color in table.colors}
    found = {tuple(color) for color in np.asarray(cloud.colors)[:, :3].tolist()}
    assert found <= known and len(found) >= 3


@pytest.mark.parametrize(
    "kind, flags, file",
    [
        ("tsdf", ["--resolution", 32, "--texture-method", "tsdf"], "tsdf_mesh.ply"),
        (
            "poisson",
            [
                "--num-points",
                8000,
                "--num-rays-per-batch",
                3000,
                "--normal-method",
                "open3d",
                "--texture-method",
                "point_cloud",
            ],
            "poisson_mesh.ply",
        ),
    ],
)
def test_meshes(ns, run, tmp_path, kind, flags, file):
    export(ns, run, tmp_path, kind, *flags, *SMALL_BOX)
    mesh = trimesh.load(tmp_path / file)
    assert len(mesh.faces) > 100 and np.isfinite(mesh.vertices).all()


def test_a_mesh_with_texture(ns, fast_run, tmp_path):
    flags = ["--resolution", 32, "--target-num-faces", 300, "--num-pixels-per-side", 64]
    export(ns, fast_run, tmp_path, "tsdf", *flags, *SMALL_BOX)
    assert (tmp_path / "mesh.obj").is_file() and (tmp_path / "material_0.png").is_file()


def test_cameras(ns, paper_run, tmp_path):
    export(ns, paper_run, tmp_path, "cameras")
    frames = json.loads((tmp_path / "transforms_train.json").read_text())
    assert len(frames) == 16 and np.array(frames[0]["transform"]).shape == (3, 4)


@pytest.mark.parametrize("kind", ["gaussian-splat", "marching-cubes"])
def test_what_a_radiance_field_does_not_have_is_said(ns, fast_run, tmp_path, kind):
    told = export(ns, fast_run, tmp_path, kind, fails=True)
    assert (
        "nerfseg: A run of nerfseg is a radiance field and has no" in told
        and "pointcloud" in told
        and "Traceback" not in told
    )


def test_a_scene_without_surfaces_is_no_endless_search(fast_pipeline):
    """nerfstudio's exporter draws rays until enough of them end in the scene."""
    clear = {"rgb": torch.rand(50, 3), "accumulation": torch.full((50, 1), 0.2)}
    with pytest.raises(UserError, match="Of 50 rays of the photos not one ends in the scene"):
        fast_pipeline.model.get_rgba_image(clear)
    clear["accumulation"][7] = 0.9
    assert (fast_pipeline.model.get_rgba_image(clear)[:, 3] > 0.5).sum() == 1
