#!/usr/bin/env bash
# nerfstudio 1.1.5, feature images in the viewer and in ns-render (nerfstudio.utils.colormaps.apply_colormap).
#
# Expected: an output with more than three channels is shown by its principal components, whatever it holds.
# Seen: as soon as half of the view's pixels have one and the same non-zero feature, as a sky, a flat background or labels
# that are not learnt yet do, it raises "RuntimeError: min(): Expected reduction dim to be specified for input.numel() ==
# 0": the median deviation, which it divides by, is 0, and no pixel is left for the range of the colours. With a little
# less than half, or with zeros in that half, it draws the view.
# What helps: give features a ramp of a thousandth across the view before they are shown.
#
# Exit status 0 as long as this is so.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q torch==2.13.0 numpy==1.26.4 matplotlib==3.10.8 jaxtyping==0.3.3
"$place/venv/bin/pip" install -q --no-deps nerfstudio==1.1.5
"$place/venv/bin/python" - <<'PY'
import torch
from nerfstudio.utils.colormaps import apply_colormap


def shown(alike, value):
    """Whether a view of 20 x 30 pixels and 8 channels is drawn when its first rows all have one feature."""
    view = torch.randn(20, 30, 8, generator=torch.Generator().manual_seed(0))
    view[:alike] = value
    try:
        return tuple(apply_colormap(view).shape) == (20, 30, 3)
    except RuntimeError as error:
        print(f"{alike} of 20 rows alike: RuntimeError: {error}")
        return False


feature = torch.linspace(0.5, 1.5, 8)
found = {"none": shown(0, feature), "9 rows": shown(9, feature), "10 rows": shown(10, feature), "zeros": shown(11, 0.0)}
print(found)
assert found == {"none": True, "9 rows": True, "10 rows": False, "zeros": True}, "the behaviour has changed"
PY
