#!/usr/bin/env bash
# pyproj 3.7.2 with PROJ 9.5.1: Proj.get_factors of the web map's projection (EPSG:3857).
#
# Expected: areal_scale is area on the map per area on the earth, as it is for UTM zones to six digits.
# Seen: it is that of a sphere, although the system's ellipsoid is WGS 84's: areas on the ground that are computed with it
# are 0.4 % too large at latitude 28, 0.7 % at the equator, and too small by as much at high latitudes.
# What helps: measure a small square on the ellipsoid with pyproj.Geod.
#
# Exit status 0 as long as this is so.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q pyproj==3.7.2
"$place/venv/bin/python" - <<'PY'
import pyproj
from pyproj import CRS, Geod, Proj, Transformer


def scales(code, longitude, latitude):
    """Areal scale by PROJ, and of a square of 100 map units by its area on the ellipsoid."""
    system = CRS.from_epsg(code)
    to_map = Transformer.from_crs("EPSG:4326", system, always_xy=True)
    x, y = to_map.transform(longitude, latitude)
    corners = [(x - 50, y - 50), (x + 50, y - 50), (x + 50, y + 50), (x - 50, y + 50)]
    places = [to_map.transform(*corner, direction="INVERSE") for corner in corners]
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(*zip(*places))
    return Proj(system).get_factors(longitude, latitude).areal_scale, 100 * 100 / abs(area)


print(pyproj.__version__, pyproj.proj_version_str)
assert (pyproj.__version__, pyproj.proj_version_str) == ("3.7.2", "9.5.1")
for latitude in (0.5, 28.0, 65.0):
    (web, true), (utm, true_utm) = scales(3857, -81.0, latitude), scales(32617, -81.0, latitude)
    print(f"latitude {latitude}: EPSG:3857 {web:.5f}, measured {true:.5f} ({100 * (true / web - 1):+.2f} %); UTM {utm:.6f}, {true_utm:.6f}")
    assert abs(true_utm / utm - 1) < 1e-5 and abs(true / web - 1) > 2e-3, "the behaviour has changed"
PY
