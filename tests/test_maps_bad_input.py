"""What `nerfseg map` is given and cannot use: one clear error each, and nothing is lost."""

from __future__ import annotations

import importlib.util
import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from nerfseg_ns.errors import UserError
from nerfseg_ns.maps.config import MapConfig
from nerfseg_ns.maps.run import run_map
from nerfseg_ns.runs.load import load_run

FILES = {
    "mine.txt": "mine",
    "broken.json": "{",
    "list.json": "[6]",
    "stranger.json": json.dumps({"Igloo": 6}),
    "large.json": json.dumps({"Road": 300}),
    "word.json": json.dumps({"Road": "road"}),
    "yes.json": json.dumps({"Road": True}),
    "no.laz": "no cloud",
}


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with files to name, and the label map of an earlier run."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "labels.tif").write_text("an earlier map")
    return tmp_path


@pytest.fixture(autouse=True)
def loaded_once(fast_run, fast_pipeline, monkeypatch) -> None:
    """The run is loaded once for all tests, which takes longer than what they try."""
    monkeypatch.setattr(
        "nerfseg_ns.maps.run.load_run", lambda path: fast_pipeline if path == fast_run else load_run(path)
    )


def check_refused(fast_run: Path, place: Path, change: dict, message: str) -> None:
    """The map is refused in these words, and what was there stays."""
    options = {"load_config": fast_run, "output_dir": place / "map", "cloud_spacing": 0, **change}
    with pytest.raises(UserError, match=message):
        run_map(MapConfig(**options))
    assert (place / "map" / "labels.tif").read_text() == "an earlier map"
    assert [path.name for path in (place / "map").iterdir()] == ["labels.tif"]
    assert {path.name for path in place.iterdir()} == {*FILES, "map"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, message",
    [
        ({"resolution": 0.0}, "--resolution is 0.0; it must be above 0"),
        ({"resolution": float("nan")}, "--resolution is nan"),
        ({"resolution": 1e-7}, "larger than --max-pixels"),
        ({"max_pixels": 10}, "larger than --max-pixels"),
        ({"min_area": -1.0}, "--min-area is -1.0; it must be at least 0"),
        ({"cloud_spacing": -1}, "--cloud-spacing is -1"),
        ({"crs": "EPSG:32617"}, "needs a scene that knows where it is"),
        ({"load_config": "none.yml"}, "There is no file .*none.yml"),
        ({"load_config": "mine.txt"}, "mine.txt"),
        ({"output_dir": "mine.txt"}, "mine.txt is a file"),
        ({"output_dir": "mine.txt/map"}, "Cannot write .*mine.txt/map.*another --output-dir"),
        ({"cloud": "none.laz"}, "There is no file .*none.laz"),
        ({"cloud": "no.laz"}, "Cannot read the cloud .*no.laz"),
        ({"las_classes": "none.json"}, "Cannot read the codes of classes in .*none.json"),
        ({"las_classes": "broken.json"}, "Cannot read the codes of classes in .*broken.json"),
        ({"las_classes": "list.json"}, "holds no codes of classes"),
        ({"las_classes": "stranger.json"}, "names 'Igloo', which is no class of the run. It has .*Road"),
        ({"las_classes": "large.json"}, "gives 'Road' the code 300; expected 0 to 255"),
        ({"las_classes": "word.json"}, "gives 'Road' the code 'road'"),
        ({"las_classes": "yes.json"}, "gives 'Road' the code True"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_used(fast_run, place, change, message):
    paths = ("load_config", "output_dir", "cloud", "las_classes")
    check_refused(fast_run, place, {k: place / v if k in paths else v for k, v in change.items()}, message)


@pytest.mark.slow
def test_a_library_that_is_missing(fast_run, place, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "laspy" else found(name))
    check_refused(fast_run, place, {}, r"needs laspy: pip install 'nerfseg\[maps\]'")


@pytest.mark.slow
def test_a_disk_without_room_is_known_before(fast_run, place, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_000))
    check_refused(fast_run, place, {}, "takes .* GB of disk while it is made; .* has 0.0 GB")


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses to make files larger, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_disk_that_fills_up(fast_run, place):
    """Before there is a map, and while the finished files are written."""
    with no_file_larger_than(1_000):
        check_refused(fast_run, place, {}, "Cannot write into .*free there")
    first = run_map(MapConfig(load_config=fast_run, output_dir=place / "first", cloud_spacing=0))
    largest = max(path.stat().st_size for path in first.iterdir() if path.suffix in (".tif", ".gpkg"))
    shutil.rmtree(first)
    assert largest > 20_000  # the arrays on disk are smaller than that at this resolution
    with no_file_larger_than(20_000), pytest.raises(UserError, match="Cannot write into"):
        run_map(MapConfig(load_config=fast_run, output_dir=place / "map", cloud_spacing=0, resolution=0.05))
    assert not list((place / "map").glob(".*"))
