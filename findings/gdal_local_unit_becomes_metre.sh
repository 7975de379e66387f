#!/usr/bin/env bash
# GDAL 3.10.3 (in the wheel of rasterio 1.4.4), GeoTIFFs with a local coordinate system.
#
# Expected: LOCAL_CS["own axes",UNIT["pose unit",1]] comes back with its unit, or with one of unknown name.
# Seen: it comes back in metres, EPSG:9001 included, so that areas of a scene whose scale nobody knows read as square
# metres. With any other factor than 1 the name is lost too, but the unit is "unknown". ENGCRS likewise.
# What helps: a factor next to 1, such as 1.0000001.
#
# Exit status 0 as long as this is so.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q rasterio==1.4.4 numpy==1.26.4
PLACE="$place" "$place/venv/bin/python" - <<'PY'
import os

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

path = os.path.join(os.environ["PLACE"], "map.tif")
plane = 'ENGCRS["own axes",EDATUM["none"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["pose unit",{}]]'
local = 'LOCAL_CS["own axes",UNIT["pose unit",{}]]'


def unit_of(wkt):
    """The unit that a system has after it was written into a GeoTIFF."""
    profile = dict(driver="GTiff", width=8, height=8, count=1, dtype="uint8", transform=from_origin(0, 8, 1, 1))
    with rasterio.open(path, "w", crs=CRS.from_wkt(wkt), **profile) as file:
        file.write(np.ones((1, 8, 8), "uint8"))
    with rasterio.open(path) as file:
        found = file.crs.to_wkt()
    return found.split('UNIT["')[1].split('"')[0], '"9001"' in found


found = {(form[:5], factor): unit_of(form.format(factor)) for form in (local, plane) for factor in (1, 1.0000001, 37.2)}
print(rasterio.__gdal_version__, found)
assert rasterio.__gdal_version__ == "3.10.3"
for (_, factor), unit in found.items():
    assert unit == (("metre", True) if factor == 1 else ("unknown", False)), "the behaviour has changed"
PY
