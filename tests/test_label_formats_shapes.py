"""Drawn shapes become the right pixels: against slow references, pixel centre by pixel centre."""

import math

import numpy as np
import pytest
from helpers.label_files import compressed, runs, shape, sparse_labels, write_coco, write_labelme
from helpers.scenes import TABLE

from nerfseg_ns.labels.classes import IGNORE_INDEX
from nerfseg_ns.labels.find import open_label
from nerfseg_ns.labels.rasterize import STROKE_WIDTH, polygon_patch

SIZE = (21, 16)
CENTRES = [[(column + 0.5, row + 0.5) for column in range(SIZE[0])] for row in range(SIZE[1])]


def mask_of(inside) -> np.ndarray:
    """The pixels whose centres (x, y) are inside, asked for one by one."""
    return np.array([[inside(*centre) for centre in row] for row in CENTRES])


def winding(x: float, y: float, points) -> int:
    """How often a closed outline goes round a point: the sum of the angles under which its edges are seen."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        turn = math.atan2(y1 - y, x1 - x) - math.atan2(y0 - y, x0 - x)
        total += (turn + math.pi) % (2 * math.pi) - math.pi
    return round(total / (2 * math.pi))


def distance(x: float, y: float, start, end) -> float:
    """From a point to the line from start to end: to the nearest of many points on it."""
    along = np.linspace(0, 1, 5001)
    return float(np.hypot(start[0] + (end[0] - start[0]) * along - x, start[1] + (end[1] - start[1]) * along - y).min())


def random_polygon(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Corners anywhere, some outside of the image; edges may cross."""
    low, high = np.array([-8.0, -8.0]), np.array(SIZE) + 8
    return [tuple(point) for point in rng.uniform(low, high, (rng.integers(3, 9), 2)).tolist()]


def read(path, shapes) -> np.ndarray:
    write_labelme(path, shapes, SIZE)
    return open_label(path, path.stem).read(TABLE)


def painted(points) -> np.ndarray:
    labels = np.zeros(SIZE[::-1], dtype=np.uint8)
    polygon_patch(np.array(points, dtype=float), SIZE).paint(labels, 1)
    return labels == 1


@pytest.mark.parametrize("seed", range(60))
def test_polygons_hold_the_pixels_that_they_go_round(seed):
    points = random_polygon(np.random.default_rng(seed))
    assert np.array_equal(painted(points), mask_of(lambda x, y: winding(x, y, points) % 2 == 1))


def test_polygons_worked_out_by_hand():
    assert painted([(2, 3), (5, 3), (5, 4), (2, 4)])[3, 2:5].all()
    assert painted([(2, 3), (5, 3), (5, 4), (2, 4)]).sum() == 3
    assert np.argwhere(painted([(2.4, 3.4), (3.6, 3.4), (3.6, 4.4), (2.4, 4.4)])).tolist() == [[3, 2], [3, 3]]
    assert not painted([(2.6, 3), (3.4, 3), (3.4, 9), (2.6, 9)]).any()  # between centres
    assert painted([(-9, -9), (90, -9), (90, 90), (-9, 90)]).all()
    for outside in ([(-9, 1), (-2, 1), (-2, 9)], [(30, 1), (40, 1), (40, 9)], [(1, 40), (9, 40), (9, 90)]):
        assert not painted(outside).any()
    assert not painted([(3, 3), (9, 9), (3, 3)]).any()  # no area


@pytest.mark.parametrize("seed", range(10))
def test_polygons_with_common_borders_share_no_pixel_and_leave_none(seed):
    """A fan of triangles whose corners and borders lie on pixel centres."""
    rng = np.random.default_rng(seed)
    hub = tuple(rng.integers(1, 15, 2) + 0.5)
    ring = [(0, 0), (8.5, 0), (21, 0), (21, 8.5), (21, 16), (rng.integers(1, 20) + 0.5, 16), (0, 16), (0, hub[1])]
    covered = sum(painted([hub, a, b]).astype(int) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))
    assert (covered == 1).all()


def test_later_shapes_lie_on_top_and_ignore_makes_holes(tmp_path):
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        names = rng.choice([*TABLE.names, "__ignore__"], 5).tolist()
        polygons = [random_polygon(rng) for _ in names]
        expected = np.full(SIZE[::-1], IGNORE_INDEX)
        for name, points in zip(names, polygons, strict=True):
            inside = mask_of(lambda x, y, points=points: winding(x, y, points) % 2 == 1)
            expected[inside] = IGNORE_INDEX if name == "__ignore__" else TABLE.names.index(name)
        shapes = [shape(*pair) for pair in zip(names, polygons, strict=True)]
        assert np.array_equal(read(tmp_path / "a.json", shapes), expected)


@pytest.mark.parametrize("seed", range(8))
def test_strokes_are_three_pixels_wide(tmp_path, seed):
    points = np.random.default_rng(seed).uniform((-3, -3), np.array(SIZE) + 3, (4, 2)).tolist()
    segments = {"line": [points[:2]], "linestrip": [points[:2], points[1:3], points[2:]], "point": [points[:1] * 2]}
    for kind, lines in segments.items():
        count = {"line": 2, "linestrip": 4, "point": 1}[kind]
        labels = read(tmp_path / "a.json", [shape("Vegetation", points[:count], kind)])
        near = mask_of(lambda x, y, lines=lines: min(distance(x, y, *line) for line in lines) <= STROKE_WIDTH / 2)
        assert STROKE_WIDTH == 3 and np.array_equal(labels, np.where(near, 2, IGNORE_INDEX)), kind


def test_rectangles_and_circles(tmp_path):
    for corners in ([(2.2, 3.7), (9.9, 12.1)], [(9.9, 3.7), (2.2, 12.1)], [(9.9, 12.1), (2.2, 3.7)]):
        labels = read(tmp_path / "a.json", [shape("Road", corners, "rectangle")])
        inside = mask_of(lambda x, y: 2.2 < x < 9.9 and 3.7 < y < 12.1)
        assert np.array_equal(labels, np.where(inside, 1, IGNORE_INDEX))
    labels = read(tmp_path / "a.json", [shape("Road", [(18.3, 7.1), (15.3, 3.1)], "circle")])  # radius 5, over the edge
    assert np.array_equal(labels == 1, mask_of(lambda x, y: math.hypot(x - 18.3, y - 7.1) <= 5))
    turned = [(10.1, 2), (14.1, 6), (10.1, 10), (6.1, 6)]
    labels = read(tmp_path / "a.json", [shape("Road", turned, "oriented_rectangle")])
    assert np.array_equal(labels == 1, mask_of(lambda x, y: abs(x - 10.1) + abs(y - 6) < 4))


def test_masks_lie_at_their_own_offset_and_are_cut_to_the_photo(tmp_path):
    mask = np.random.default_rng(0).random((6, 5)) < 0.6
    for left, top in ((3, 4), (-2, -3), (19, 13), (0, 0), (-9, 3), (40, 3)):
        labels = read(tmp_path / "a.json", [shape("Road", [(left, top), (left + 4, top + 5)], "mask", mask)])
        expected = np.full(SIZE[::-1], IGNORE_INDEX)
        for row, column in np.argwhere(mask):
            if 0 <= top + row < SIZE[1] and 0 <= left + column < SIZE[0]:
                expected[top + row, left + column] = 1
        assert np.array_equal(labels, expected), (left, top)


def test_files_of_older_programs(tmp_path):
    """LabelMe 3 wrote neither shape_type nor mask, and colors; what is not needed is not looked at."""
    old = {"label": "Road", "points": [[0, 0], [3, 0], [3, 2], [0, 2]], "line_color": None, "fill_color": [255, 0, 0]}
    write_labelme(tmp_path / "a.json", [old], SIZE, imageData=None, version="3.16.7", lineColor=[0, 255, 0, 128])
    labels = open_label(tmp_path / "a.json", "a").read(TABLE)
    assert (labels[:2, :3] == 1).all() and (labels != IGNORE_INDEX).sum() == 6


@pytest.mark.parametrize("seed", range(10))
def test_coco_annotations_against_masks(tmp_path, seed):
    """Polygons of several parts and both kinds of run lengths, crowds too, each over those before it."""
    rng = np.random.default_rng(seed)
    expected, entries = np.full(SIZE[::-1], IGNORE_INDEX), []
    for kind in rng.permutation(["polygons", "runs", "compressed"] * 2):
        index = int(rng.integers(len(TABLE)))
        if kind == "polygons":
            parts = [random_polygon(rng) for _ in range(2)]
            mask = np.any([mask_of(lambda x, y, p=part: winding(x, y, p) % 2 == 1) for part in parts], axis=0)
            entries.append((index, [np.ravel(part).tolist() for part in parts]))
        else:
            mask = sparse_labels(int(rng.integers(1000)), SIZE) == 0
            entries.append((index, runs(mask) if kind == "runs" else compressed(mask)))
        expected[mask] = index
    path = write_coco(tmp_path / "a.json", {"x.jpg": entries})
    text = path.read_text().replace('"width": 12', '"width": 21').replace('"height": 8', '"height": 16')
    path.write_text(text.replace('"iscrowd": 0', '"iscrowd": 1', 2))
    assert np.array_equal(open_label(path, "x").read(TABLE), expected)
