"""How errors that end a command are shown, where the command is one of nerfstudio's."""

from __future__ import annotations

import sys
from types import TracebackType

from nerfseg_ns.errors import UserError

EXPORTER = "nerfstudio.scripts.exporter"
"""The module of ns-export, which refuses models that it cannot export by assertions."""


def install_excepthook() -> None:
    """Lets a UserError that ends a command appear as its message alone, without the way through the program.

    The commands are nerfstudio's, so that this is done where they enter the plugin. Nothing changes for callers that
    catch the error.
    """
    previous = sys.excepthook
    if getattr(previous, "shows_user_errors", False):
        return

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, UserError):
            print(f"nerfseg: {error}", file=sys.stderr)
        elif isinstance(error, AssertionError) and (export := _refused_export(traceback)):
            print(f"nerfseg: {_what_can_be_exported(export)}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    show.shows_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = show


def _refused_export(traceback: TracebackType | None) -> str | None:
    """Class of the export of ns-export that an assertion ended, if it was one."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None or traceback.tb_frame.f_globals.get("__name__") != EXPORTER:
        return None
    return type(traceback.tb_frame.f_locals.get("self")).__name__


def _what_can_be_exported(export: str) -> str:
    missing = {"ExportGaussianSplat": "no Gaussian splats", "ExportMarchingCubesMesh": "no field of signed distances"}
    reason = f"A run of nerfseg is a radiance field and has {missing.get(export, f'nothing for {export}')}"
    return f"{reason}: export it with ns-export pointcloud, tsdf, poisson or cameras."
