#!/usr/bin/env bash
# pyproj 3.7.2 (its wheel has PROJ 9.5.1), heights above a geoid whose grid PROJ does not have.
#
# Expected: Transformer.from_crs(..., only_best=True) answers with infinite coordinates where the best way needs a grid
# that is missing, however the axes are ordered.
# Seen: so it does with the axes as the authorities order them. With always_xy=True, which most programs set, only_best is
# forgotten: the height comes back unchanged, as if the geoid were the ellipsoid, without an
# error or a warning.
# What helps: TransformerGroup(...).best_available, or allow_ballpark=False, which cannot make such a transformer.
#
# Exit status 0 as long as this is so.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q pyproj==3.7.2
PROJ_NETWORK=OFF "$place/venv/bin/python" -W ignore - <<'PY'
import math

import pyproj
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

print(pyproj.__version__, "PROJ", pyproj.proj_version_str)
for name, source, place in (("EGM96", "EPSG:32632+5773", (500000.0, 5e6)), ("NAVD88", "EPSG:6340+5703", (235269.0, 3811198.0))):
    own = pyproj.Transformer.from_crs(source, "EPSG:4979", only_best=True).transform(*place, 100.0)
    xy = pyproj.Transformer.from_crs(source, "EPSG:4979", only_best=True, always_xy=True).transform(*place, 100.0)
    best = TransformerGroup(source, "EPSG:4979", always_xy=True).best_available
    try:
        pyproj.Transformer.from_crs(source, "EPSG:4979", allow_ballpark=False, always_xy=True)
        refused = False
    except ProjError:
        refused = True
    print(name, {"only_best": own, "only_best and always_xy": xy, "best_available": best, "allow_ballpark=False": refused})
    assert all(map(math.isinf, own)), "the behaviour has changed"
    assert xy[2] == 100.0 and math.isfinite(xy[0]), "the behaviour has changed"
    assert not best and refused, "the behaviour has changed"
PY
