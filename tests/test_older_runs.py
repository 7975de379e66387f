"""Runs of earlier versions load: their config.yml names modules and classes, their checkpoints name parameters.

`runs_0_1` has what `ns-train METHOD` of version 0.1 left for a town of 12 classes, the eye included: config.yml, and of
the checkpoint the names, types and shapes of its tensors.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
import yaml

from nerfseg_ns.core.stage import Stage

pytestmark = pytest.mark.slow

RUNS = Path(__file__).parent / "runs_0_1"
DATAPARSERS = ("carla_mvs.CarlaMVSDataParserConfig", "google_earth.GoogleEarthDataParserConfig")
DATAPARSERS += ("labelled_photos.LabelledPhotosDataParserConfig",)


def state_of(method: str) -> dict[str, torch.Tensor]:
    """A checkpoint's tensors, of random numbers."""
    generator = torch.Generator().manual_seed(0)
    shapes = json.loads((RUNS / f"{method}.json").read_text("utf-8"))
    return {
        name: torch.rand(shape, generator=generator).to(getattr(torch, dtype))
        for name, (dtype, *shape) in shapes.items()
    }


@pytest.mark.parametrize("method", ["nerfseg", "nerfseg-fast"])
@pytest.mark.parametrize("parallel", [False, True])
def test_a_run_of_version_0_1_loads(method, parallel, small_town):
    """Also that of several processes, whose tensors are a module's within the model."""
    config = yaml.load((RUNS / f"{method}.yml").read_text("utf-8"), Loader=yaml.Loader)
    assert config.pipeline.model.training_color == ("mixed" if method == "nerfseg-fast" else "observed")
    assert config.pipeline.model.color_context.weight == (0.5 if method == "nerfseg-fast" else 0)
    config.data = config.pipeline.datamanager.data = config.pipeline.datamanager.dataparser.data = small_town
    pipeline, state = config.pipeline.setup(device="cpu", test_mode="test"), state_of(method)
    names = {name: name.replace("_model.", "_model.module.", 1) if parallel else name for name in state}
    pipeline.load_pipeline({names[name]: values for name, values in state.items()}, 9)
    model = pipeline.eval().model
    assert model.stage is Stage.SEMANTIC and len(model.class_names) == 12
    now = pipeline.state_dict()
    for name, values in state.items():
        if name == "_model.colour_context.next_draw" or ".frame." in name:  # the frame is shared, has several names
            continue
        for part in ("colour_context", "colour_radiance", "mlp_colour"):
            name = name.replace(part, part.replace("colour", "color"))
        for stage in ("semantics", "taught.stage"):  # one head had no members
            name = name.replace(f"_model.{stage}.levels", f"_model.{stage}.members.0.levels")
        assert torch.equal(now[name], values), name


@pytest.mark.parametrize("name", DATAPARSERS)
def test_dataparsers_are_where_configs_of_version_0_1_name_them(name):
    module, config = name.split(".")
    assert hasattr(importlib.import_module(f"nerfseg_ns.dataparsers.{module}"), config)
