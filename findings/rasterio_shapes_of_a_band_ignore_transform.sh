#!/usr/bin/env bash
# rasterio 1.4.4, rasterio.features.shapes of a band of an open file (which streams, where an array must fit into memory).
#
# Expected, as documented for arrays and bands alike: polygons in the coordinates of the transform argument, in pixels
# without one.
# Seen: for a band the argument is not looked at. Polygons come in the file's own coordinates, whatever is given, and
# without a transform in the file in pixels, with y downwards: polygons of the right shape in the wrong place and size.
# What helps: write the transform into the file.
#
# Exit status 0 as long as this is so.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q rasterio==1.4.4 numpy==1.26.4
PLACE="$place" "$place/venv/bin/python" -W ignore - <<'PY'
import os

import numpy as np
import rasterio
from rasterio.features import shapes
from rasterio.transform import Affine, from_origin

path = os.path.join(os.environ["PLACE"], "classes.tif")
values, wanted, other = np.ones((4, 4), np.uint8), from_origin(10, 30, 0.5, 0.5), from_origin(500, 900, 2, 2)


def corner_and_side(source, transform):
    """First corner and the lengths of the sides of the only polygon."""
    (outline, _), = shapes(source, transform=transform)
    xs, ys = zip(*outline["coordinates"][0])
    return (xs[0], ys[0], max(xs) - min(xs))


def of_band(in_file):
    """The same of a file with a transform of its own, the argument being `wanted`."""
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", transform=in_file) as file:
        file.write(values, 1)
    with rasterio.open(path) as file:
        return corner_and_side(rasterio.band(file, 1), wanted)


array, same, elsewhere, none = corner_and_side(values, wanted), of_band(wanted), of_band(other), of_band(Affine.identity())
print(rasterio.__version__, {"array": array, "band": same, "elsewhere": elsewhere, "none": none})
assert array == same == (10, 30, 2), "the behaviour has changed"
assert elsewhere == (500, 900, 8) and none == (0, 0, 4), "the behaviour has changed"
PY
