"""The command `nerfseg`, as a process where that matters."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nerfseg_ns import cli

PROGRAM = [sys.executable, "-m", "nerfseg_ns.cli"]


def call(monkeypatch, *arguments):
    """Runs the command within this process."""
    monkeypatch.setattr(sys, "argv", ["nerfseg", *map(str, arguments)])
    cli.main()


@pytest.mark.parametrize(
    "subcommand, option",
    [
        ((), "town"),
        (("town",), "--image-size"),
        (("demo",), "--output-dir"),
        (("bench",), "--quality-seconds"),
        (("compare",), "--cnn-epochs"),
        (("augment",), "--min-confidence"),
        (("photos",), "--matching"),
        (("check",), "--contact-sheet"),
        (("labels-from-map",), "--stroke-width"),
    ],
)
def test_help(subcommand, option):
    done = subprocess.run([*PROGRAM, *subcommand, "--help"], capture_output=True, text=True, check=True)
    assert option in done.stdout


def test_reading_the_options_imports_no_torch():
    script = "import sys, nerfseg_ns.cli; sys.exit(any(name in sys.modules for name in ('torch', 'nerfstudio')))"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_town_is_written_with_the_options_given(monkeypatch, tmp_path, capsys):
    options = (
        "--image-size",
        16,
        "--train-views",
        3,
        "--validation-views",
        1,
        "--test-views",
        2,
        "--labelled-views",
        2,
    )
    call(monkeypatch, "town", tmp_path / "town", "--seed", 5, *options)
    record = json.loads((tmp_path / "town" / "town.json").read_text())
    assert record["config"]["seed"] == 5 and record["config"]["image_size"] == 16
    assert len(list((tmp_path / "town" / "train" / "rgb").iterdir())) == 3
    assert len(list((tmp_path / "town" / "train" / "label").iterdir())) == 2
    assert str(tmp_path / "town") in capsys.readouterr().out


def test_bad_input_is_one_message_and_status_1(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    for arguments in (["town", str(tmp_path)], ["demo", "--output-dir", str(tmp_path)], ["demo", "--frames", "0"]):
        done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("nerfseg: ") and "Traceback" not in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt"]
