"""Small maps that need no trained run."""

from __future__ import annotations

import numpy as np

from nerfseg_ns.geo.georeference import Georeference
from nerfseg_ns.geo.local_frame import LocalFrame
from nerfseg_ns.geo.map_frame import LocalMapFrame
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.maps.grid import MapGrid

TABLE = ClassTable(("Road & path", "Tree", "Roof"), ((128, 64, 128), (10, 100, 20), (200, 30, 30)))
FRAME = LocalFrame(27.9, -82.4, 12.0)
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def georeference(scale: float = 0.01) -> Georeference:
    return Georeference(FRAME, np.column_stack([TURN, [3.0, -2.0, 5.0]]), scale)


def grid_of(rows: int = 40, columns: int = 60, resolution: float = 0.5, frame=None) -> MapGrid:
    frame = frame or LocalMapFrame(np.eye(3), 1.0)
    return MapGrid(frame, 10.0, 30.0, resolution, rows, columns, ceiling=50.0, floor=-10.0)
