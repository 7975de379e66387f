"""How the package is put together: what is installed, what it needs, and which part may know which."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; pytest brings it
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = "nerfseg_ns"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
COMMANDS = {"augment", "bench", "check", "compare", "demo", "maps", "photos", "segment"}
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}
"""By the name that is imported, where the two differ."""


def modules() -> dict[str, Path]:
    """Files of the package by the name that they are imported by; `method_configs` lies beside it."""
    found = {}
    for root, prefix in ((ROOT / PACKAGE, PACKAGE), (ROOT / "method_configs", f"{PACKAGE}.method_configs")):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join([prefix, *parts]).removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> set[str]:
    """Everything that a file imports, late and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def graph() -> dict[str, set[str]]:
    """Modules of the package by those that they import."""
    known = modules()
    return {name: {other for other in imports(path) if other in known} - {name} for name, path in known.items()}


def circle_in(edges: dict[str, set[str]]) -> list[str]:
    """A way from something back to itself; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := walk(name, []))), [])


def folder(name: str) -> str:
    """The part of the package that a module is in: a folder, or a file at the top."""
    return name.split(".")[1] if "." in name else name


def test_circles_are_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_no_module_imports_itself_by_a_detour():
    assert circle_in({name: others for name, others in graph().items() if name != PACKAGE}) == []


def test_no_folder_imports_itself_by_a_detour():
    edges: dict[str, set[str]] = defaultdict(set)
    for name, others in graph().items():
        edges[folder(name)] |= {folder(other) for other in others} - {folder(name), PACKAGE}
    assert circle_in({name: others for name, others in edges.items() if name != PACKAGE}) == []


def test_commands_are_leaves():
    """What two of them need has a room of its own. Towns are made by demo and bench too."""
    users = {(folder(name), folder(other)) for name, others in graph().items() for other in others}
    assert {(user, used) for user, used in users if used in COMMANDS and user not in (used, "cli")} == set()


def test_every_folder_is_installed():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == {name for name, path in modules().items() if path.name == "__init__.py"}


def test_what_is_imported_is_declared():
    """By the package itself: that another package brings it today is no promise."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = PROJECT["project"]["dependencies"] + extras["sfm"] + extras["compare"] + extras["maps"]
    declared = {re.split(r"[\[<>=~!; ]", line)[0].lower().replace("_", "-") for line in lines}
    used = {name.split(".")[0] for path in modules().values() for name in imports(path)}
    used -= {PACKAGE, *sys.stdlib_module_names}
    names = {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in used}
    assert names - declared == set()
