"""Dense matching: costs, smoothing and checks against slow, obvious ones; whole scenes against their true surfaces."""

import itertools
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from PIL import Image

from nerfseg_ns.core.projection import Projector
from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotosDataParserConfig
from nerfseg_ns.geometry.dense.agreement import count_agreeing, places_at
from nerfseg_ns.geometry.dense.dense_depth import DenseView, find_dense_depth
from nerfseg_ns.geometry.dense.known_surface import KnownSurface, find_surface
from nerfseg_ns.geometry.dense.neighbours import find_neighbours
from nerfseg_ns.geometry.dense.semi_global import JUMP, STEP, aggregate, best_level
from nerfseg_ns.geometry.dense.slab import Slab
from nerfseg_ns.geometry.dense.sweep import NOISE, WINDOWS, match_costs
from nerfseg_ns.geometry.dense.views import PinholeView, load_view
from nerfseg_ns.geometry.depth_rays import find_depth_rays
from nerfseg_ns.geometry.grid import GridGeometryConfig
from nerfseg_ns.geometry.scene_frame import with_known_points
from nerfseg_ns.labels.classes import ClassTable
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town

BRIGHTON = Path(__file__).parents[2] / "shared/data/brighton_beach"
UP = np.array([0.0, 0.0, 1.0])
TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (400, 400)).astype(np.float32), (0, 0), 2.5)
TEXTURE = (TEXTURE - TEXTURE.min()) / np.ptp(TEXTURE) * 255
BOX = 0.15
"""Height of the box in the made-up scene; it reaches from -0.2 to 0.2, the cameras fly at 1."""


def turned(seed: int) -> np.ndarray:
    """A camera straight down, tilted a little and turned about its axis."""
    rng = np.random.default_rng(seed)
    tilt, _ = cv2.Rodrigues(rng.uniform(-0.15, 0.15, 3))
    spin, _ = cv2.Rodrigues(np.array([0, 0, rng.uniform(0, 6)]))
    return spin @ tilt @ np.diag([1.0, -1.0, -1.0])


def surface_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where((abs(x) < 0.2) & (abs(y) < 0.2), BOX, 0.0)


def photo(origin: tuple, rotation: np.ndarray, size: tuple = (60, 80)) -> tuple[PinholeView, np.ndarray]:
    """What a camera sees of a textured box on textured ground, by marching along each ray; and the heights."""
    height, width = size
    matrix = np.array([[70.0, 0, (width - 1) / 2], [0, 70, (height - 1) / 2], [0, 0, 1]])
    view = PinholeView(np.zeros(size, np.float32), np.ones(size, bool), matrix, rotation, np.array(origin, float))
    directions = view.directions()
    steps = np.linspace(0.7, 1.4, 1400)[:, None, None, None]
    along = view.origin + steps * directions / -directions[..., 2:]
    first = (along[..., 2] <= surface_height(along[..., 0], along[..., 1])).argmax(axis=0)
    hit = np.take_along_axis(along, first[None, ..., None], axis=0)[0]
    lookup = (hit[..., :2] * 160 + 200 + 37 * hit[..., 2:]).astype(np.float32)
    view.grey = cv2.remap(TEXTURE, lookup, None, cv2.INTER_LINEAR)
    return view, surface_height(hit[..., 0], hit[..., 1])


@pytest.fixture(scope="module")
def flight() -> tuple[list[PinholeView], list[np.ndarray], Slab]:
    origins = [(x, y, 1.0) for x, y in itertools.product((-0.15, 0.1), (-0.12, 0.13))] + [(0.0, 0.0, 1.1)]
    views, heights = zip(*(photo(origin, turned(seed)) for seed, origin in enumerate(origins)))
    return list(views), list(heights), Slab(UP, 0.0, -0.05, 0.3)


def test_costs_are_those_of_pixels_looked_up_one_by_one(flight):
    views, _, slab = flight
    view, others, height = views[0], views[1:4], 0.04
    found = match_costs(view, others, slab, np.array([height]))[0]
    warped = []
    places = places_at(view, np.full(view.grey.shape, height), slab)
    for other in others:
        pixels, _ = other.project(places)
        warped.append(cv2.remap(other.grey, pixels.astype(np.float32), None, cv2.INTER_LINEAR, borderValue=-1e4))

    def correlation(other: np.ndarray, row: int, column: int) -> float:
        total = 0.0
        for width in WINDOWS:
            cut = np.s_[row - width // 2 : row + width // 2 + 1, column - width // 2 : column + width // 2 + 1]
            one, two = view.grey[cut].astype(float), other[cut].astype(float)
            if (two < 0).any():
                return -2.0
            covariance = ((one - one.mean()) * (two - two.mean())).mean()
            total += covariance / np.sqrt(max(one.var(), NOISE) * max(two.var(), NOISE)) / len(WINDOWS)
        return total

    compared = 0
    for row, column in itertools.product(range(5, 55, 3), range(5, 75, 3)):
        fits = sorted(correlation(other, row, column) for other in warped)
        if -2.0 in fits:
            continue
        assert found[row, column] == pytest.approx(1 - np.mean(fits[-2:]), abs=0.03)
        compared += 1
    assert compared > 60


def slow_paths(costs: np.ndarray) -> np.ndarray:
    """Semi-global matching as the paper states it, a pixel and a level at a time; costs are [height, width, levels]."""
    height, width, levels = costs.shape
    total = np.zeros_like(costs)
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        path = np.zeros_like(costs)
        rows = range(height) if step[0] >= 0 else reversed(range(height))
        for row in rows:
            for column in range(width) if step[1] >= 0 else reversed(range(width)):
                before = row - step[0], column - step[1]
                if not (0 <= before[0] < height and 0 <= before[1] < width):
                    path[row, column] = costs[row, column]
                    continue
                last = path[before]
                for level in range(levels):
                    ways = [last[level], last.min() + JUMP]
                    ways += [last[other] + STEP for other in (level - 1, level + 1) if 0 <= other < levels]
                    path[row, column, level] = costs[row, column, level] + min(ways) - last.min()
        total += path
    return total


@pytest.mark.parametrize("shape", [(4, 6, 7), (1, 5, 3), (5, 1, 4)])
def test_smoothing_is_that_of_the_paper(shape):
    costs = np.random.default_rng(1).uniform(0, 2, (shape[2], *shape[:2])).astype(np.float32)
    assert np.allclose(aggregate(costs), slow_paths(costs.transpose(1, 2, 0)), atol=1e-5)


def test_best_level_lies_between_levels_and_knows_the_ends():
    true = np.array([[2.3, 3.5, 0.0, 6.0, 4.9]])
    total = (np.arange(7) - true[..., None]) ** 2
    level, inner = best_level(total)
    assert np.allclose(level[inner], true[inner])
    assert inner.tolist() == [[True, True, False, False, True]]


def test_levels_move_a_neighbour_evenly_and_cover_the_slab():
    slab = Slab(UP, 2.0, -0.1, 0.5)
    levels = slab.levels(1.5, 40)
    assert levels[0] == pytest.approx(-0.1) and levels[-1] == pytest.approx(0.5)
    shifts = 100 * 0.3 / (1.5 - levels)  # focal length times baseline over distance
    assert np.ptp(np.diff(shifts)) < 1e-9
    assert slab.levels(0.55, 5)[-1] == pytest.approx(0.8 * 0.55)  # never up to the camera


def test_slab_reaches_for_what_no_point_shows_and_farther_than_points_do():
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.uniform(-1, 1, (5000, 2)), rng.normal(-1, 0.001, 5000)])
    origins = np.array([[0, 0, 1.0], [0.5, 0, 1.0]])
    slab = Slab.around(flat, origins, UP)
    assert slab.ground == pytest.approx(-1, abs=0.01)
    assert slab.top == pytest.approx(0.35 * 2, abs=0.01) and slab.bottom == pytest.approx(-0.05 * 2, abs=0.01)
    towers = np.concatenate([flat, flat[:500] + (0, 0, 1.2), flat[:500] - (0, 0, 0.3)])
    slab = Slab.around(towers, origins, UP)
    assert slab.top > 1.2 * 1.2 and slab.bottom < -0.3


def test_heights_of_a_box_are_found_and_photos_agree(flight):
    views, truth, slab = flight
    levels = slab.levels(1.0, 64)
    heights = []
    for index, view in enumerate(views):
        others = [other for other in views if other is not view]
        levels = slab.levels(slab.above(view.origin), 64)
        level, inner = best_level(aggregate(match_costs(view, others, slab, levels)))
        heights.append(np.where(inner, np.interp(level, np.arange(64), levels), np.nan))
        error = np.abs(heights[index] - truth[index])
        assert np.nanmedian(error) < 0.004
        assert np.nanmedian(error[truth[index] > 0]) < 0.006
    others = [(views[index], heights[index]) for index in (1, 2, 3, 4)]
    agreeing, seeing = count_agreeing(places_at(views[0], heights[0], slab), heights[0], others, 0.02)
    right = np.abs(heights[0] - truth[0]) < 0.01
    assert (agreeing <= seeing).all() and (agreeing[right & (seeing >= 2)] >= 2).mean() > 0.9
    wrong = heights[0] + 0.1  # what nobody has found
    agreeing, seeing = count_agreeing(places_at(views[0], wrong, slab), wrong, others, 0.02)
    assert (agreeing[right] >= 2).mean() < 0.1 and (seeing[right] >= 1).mean() > 0.9


def test_agreement_is_that_of_pixels_looked_up_one_by_one(flight):
    views, truth, slab = flight
    rng = np.random.default_rng(2)
    heights = [np.where(rng.random(one.shape) < 0.1, np.nan, one + rng.normal(0, 0.02, one.shape)) for one in truth]
    places = places_at(views[0], heights[0], slab)
    agreeing, seeing = count_agreeing(places, heights[0], list(zip(views[1:], heights[1:])), 0.02)
    for row, column in rng.integers((60, 80), size=(300, 2)):
        expected = [0, 0]
        for other, known in zip(views[1:], heights[1:]):
            local = other.rotation.T @ (places[row, column] - other.origin)
            x, y = (other.matrix @ local)[:2] / local[2]
            if not np.isfinite([x, y]).all() or min(abs(v % 1 - 0.5) for v in (x, y)) < 0.05:
                break  # between two pixels, either may be the nearest
            inside = 0 <= round(y) < 60 and 0 <= round(x) < 80
            there = known[round(y), round(x)] if inside else np.nan
            expected[1] += bool(np.isfinite(there))
            expected[0] += bool(abs(there - heights[0][row, column]) <= 0.02)
        else:
            assert [agreeing[row, column], seeing[row, column]] == expected


def dataset_of(folder: Path) -> LabelledDataset:
    return LabelledDataset(CarlaMVSDataParserConfig(data=folder).setup().get_dataparser_outputs("train"))


def slab_of(dataset: LabelledDataset) -> Slab:
    points = with_known_points(dataset, find_depth_rays(dataset).points)
    return Slab.around(points.double().numpy(), dataset.cameras.camera_to_worlds[:, :, 3].double().numpy(), UP)


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> tuple[Path, LabelledDataset]:
    config = TownConfig(seed=1, image_size=96, train_views=16, validation_views=1, test_views=1, labelled_views=1)
    folder = make_town(config, tmp_path_factory.mktemp("dense") / "town")
    return folder, dataset_of(folder)


@pytest.fixture(scope="module")
def matched(town) -> dict[int, DenseView]:
    return find_dense_depth(town[1], slab_of(town[1]))


def errors_of(folder: Path, dataset: LabelledDataset, view: int, distances: np.ndarray) -> np.ndarray:
    """Relative errors of distances along rays, NaN where either is unknown."""
    true = np.load(folder / "truth/train/depth" / f"{dataset.image_filenames[view].stem}.npy")
    true = np.where(np.isfinite(true), true, np.nan)
    return np.abs(distances - true) / true


def test_distances_in_a_town_are_right_where_photos_agree(town, matched):
    folder, dataset = town
    found = matched
    trusted, doubted, shares = [], [], []
    for view, dense in found.items():
        error = errors_of(folder, dataset, view, np.linalg.norm(dense.places() - dense.view.origin, axis=-1))
        trusted.append(error[dense.trusted])
        doubted.append(error[~dense.trusted])
        shares.append(dense.trusted.mean())
    right, rest = (np.concatenate(kind) for kind in (trusted, doubted))
    assert len(found) == 16 and np.mean(shares) > 0.4
    assert np.nanmedian(right) < 0.012 and np.nanmean(right > 0.1) < 0.05
    assert np.nanmedian(rest) > 2 * np.nanmedian(right)


def test_rays_of_photos_are_looked_up_where_they_were_found(town, matched):
    folder, dataset = town
    surface = KnownSurface.of(matched, dataset.cameras, 1.0)
    views = torch.randint(len(dataset), (500, 1), generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(500, 2, generator=torch.Generator().manual_seed(1)) * 96
    rays = dataset.cameras.generate_rays(views, coords=pixels)
    assert torch.equal(rays.camera_indices, views)
    distances = surface.look_up(rays)[:, 0].numpy()
    assert (distances > 0).mean() > 0.4
    errors = []
    for view, (row, column), distance in zip(views[:, 0].tolist(), pixels.int().tolist(), distances):
        true = errors_of(folder, dataset, view, np.full((96, 96), distance))[row, column]
        errors.append(true if distance > 0 else np.nan)
    assert np.nanmedian(errors) < 0.02
    away = RayBundle(rays.origins, -rays.directions, rays.pixel_area, rays.camera_indices)
    assert not surface.look_up(away).any()


def test_look_up_gives_nothing_for_photos_that_nothing_is_known_of(town, matched):
    _, dataset = town
    without = {view: dense for view, dense in matched.items() if view != 3}
    surface = KnownSurface.of(without, dataset.cameras, 1.0)
    rays = dataset.cameras.generate_rays(torch.full((50, 1), 3), coords=torch.rand(50, 2) * 96)
    assert not surface.look_up(rays).any()


def test_views_are_without_distortion(tmp_path):
    """A chequerboard through a lens that bends lines: straight again."""
    from nerfstudio.cameras.cameras import Cameras

    pose = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]]])
    lens = torch.tensor([[-0.2, 0.05, 0.0, 0.0, 0.002, -0.001]])
    cameras = Cameras(pose, fx=150.0, fy=150.0, cx=101.0, cy=74.0, width=200, height=150, distortion_params=lens)
    rays = cameras.generate_rays(0, keep_shape=True)
    hit = rays.origins[..., :2] + rays.directions[..., :2] / -rays.directions[..., 2:]
    board = (((hit * 20 + 0.02).floor().sum(dim=-1) % 2) * 255).byte().numpy()

    class OnePhoto:
        def __init__(self) -> None:
            self.cameras = cameras
            self._dataparser_outputs = type("Outputs", (), {"mask_filenames": None})

        def get_numpy_image(self, _: int) -> np.ndarray:
            return np.repeat(board[..., None], 3, axis=2)

    view = load_view(OnePhoto(), Projector(cameras), 0, 200)
    directions = view.directions()
    straight = directions[..., :2] / -directions[..., 2:]
    expected = (np.floor(straight * 20 + 0.02).sum(axis=-1) % 2) * 255
    clear = view.valid & (np.abs((straight * 20 + 0.02) % 1 - 0.5).max(axis=-1) < 0.3)
    assert view.valid.mean() > 0.8
    assert (np.abs(view.grey - expected)[clear] < 40).mean() > 0.99


def test_neighbours_see_the_same_ground_at_a_good_angle(town):
    _, dataset = town
    slab = slab_of(dataset)
    near = find_neighbours(dataset.cameras, Projector(dataset.cameras), slab, np.arange(16), 4)
    origins = dataset.cameras.camera_to_worlds[:, :, 3].double().numpy()
    for view, others in near.items():
        assert view not in others and len(set(others.tolist())) == len(others) <= 4
        if len(others):
            best = np.linalg.norm(origins[others] - origins[view], axis=1)
            assert best.max() < np.linalg.norm(origins - origins[view], axis=1).max()
    assert sum(len(others) > 0 for others in near.values()) == 16


@pytest.mark.skipif(not BRIGHTON.is_dir(), reason="the real flight is not here")
def test_trees_of_a_real_flight_stand():
    """SIFT finds a handful of points on trees, at ground height; a third of the pixels are crowns of trees."""
    outputs = LabelledPhotosDataParserConfig(data=BRIGHTON).setup().get_dataparser_outputs("train")
    dataset = LabelledDataset(outputs)
    surface = find_surface(dataset, with_known_points(dataset, find_depth_rays(dataset).points))
    names = ClassTable.load(BRIGHTON / "classes.json").names
    heights = {name: [] for name in names}
    up = torch.tensor([0.0, 0.0, 1.0])
    for view in dataset.label_maps.labelled:
        labels = dataset.label_maps.read(view, 450, 800)[..., 0]
        rows, columns = (torch.arange(length).float()[::5] for length in labels.shape)
        pixels = torch.cartesian_prod(rows, columns) + 0.5
        rays = dataset.cameras.generate_rays(torch.full((len(pixels), 1), view), coords=pixels)
        distances = surface.look_up(rays)
        places = rays.origins + distances * rays.directions
        for index, name in enumerate(names):
            of_class = (labels[pixels[:, 0].long(), pixels[:, 1].long()] == index) & (distances[:, 0] > 0)
            heights[name] += (places[of_class] @ up).tolist()
    middle = {name: np.median(values) / surface.camera_height for name, values in heights.items() if len(values) > 20}
    assert middle["Tree"] > middle["Grass"] + 0.1
    assert middle["Building"] > middle["Grass"] + 0.04
    assert abs(middle["Pavement"] - middle["Grass"]) < 0.02


def test_what_was_found_is_kept_with_the_run_and_shown(town, tmp_path, monkeypatch):
    _, dataset = town
    points = with_known_points(dataset, find_depth_rays(dataset).points)
    before = tmp_path / "before"
    first = find_surface(dataset, points, [before])
    monkeypatch.setattr("nerfseg_ns.geometry.dense.known_surface.find_dense_depth", None)  # not a second time
    second = find_surface(dataset, points, [tmp_path / "resumed", before])
    for item in fields(KnownSurface):
        assert torch.equal(getattr(first, item.name), getattr(second, item.name)), item.name
    sheet = np.asarray(Image.open(before / "surface.jpg"))
    assert sheet.shape == (3 * 96, 4 * 96, 3)
    colorful = np.ptp(sheet.astype(int), axis=2) > 60
    assert colorful[:, 96:192].mean() > 0.3 and colorful[:, :96].mean() < 0.02  # heights; grey photos
    assert sorted(path.name for path in before.iterdir()) == ["surface.jpg", "surface.npz"]


@pytest.mark.parametrize("fault", ["cut off", "other photos", "something else"])
def test_what_was_kept_is_not_believed_where_it_does_not_fit(town, matched, tmp_path, fault):
    _, dataset = town
    surface = KnownSurface.of(matched, dataset.cameras, 1.0)
    path = tmp_path / "surface.npz"
    surface.save(path)
    assert KnownSurface.load(path, dataset.cameras) is not None
    cameras = dataset.cameras
    if fault == "cut off":
        path.write_bytes(path.read_bytes()[:-500])
    elif fault == "other photos":
        cameras = dataset.cameras[torch.tensor([1, 0, 2])]
    else:
        np.savez(path, distances=np.zeros(3))
    assert KnownSurface.load(path, cameras) is None


def test_what_a_mask_hides_is_not_matched(town, tmp_path):
    _, dataset = town
    hidden = np.full((96, 96), 255, np.uint8)
    hidden[:, :40] = 0
    Image.fromarray(hidden).save(tmp_path / "mask.png")
    outputs = replace(dataset._dataparser_outputs, mask_filenames=[tmp_path / "mask.png"] * len(dataset))
    view = load_view(LabelledDataset(outputs), Projector(dataset.cameras), 2, 96)
    assert not view.valid[:, :38].any() and view.valid[2:-2, 43:-2].all()


def test_what_a_neighbour_does_not_show_has_no_say(flight):
    """A neighbour of which half is hidden: costs are those of the others there."""
    views, _, slab = flight
    half = np.indices(views[1].grey.shape)[1] < 40
    hidden = replace(views[1], valid=~half, grey=np.where(half, 0, views[1].grey).astype(np.float32))
    heights = np.array([0.0])
    with_it, without = (match_costs(views[0], [*others, views[2]], slab, heights)[0] for others in ([hidden], []))
    pixels, _ = hidden.project(places_at(views[0], np.zeros(views[0].grey.shape), slab))
    behind = (pixels[..., 0] > 3) & (pixels[..., 0] < 36)  # in the hidden half
    assert behind.sum() > 300 and np.array_equal(with_it[behind], without[behind])
    assert not np.array_equal(with_it, without)


def test_of_a_great_many_photos_groups_are_matched(town, monkeypatch):
    _, dataset = town
    monkeypatch.setattr("nerfseg_ns.geometry.dense.dense_depth.MOST_VIEWS", 12)
    monkeypatch.setattr("nerfseg_ns.geometry.dense.dense_depth.GROUP", 4)
    monkeypatch.setattr("nerfseg_ns.geometry.depth_rays.MANY_VIEWS", 12)
    found = find_dense_depth(dataset, slab_of(dataset))
    assert 5 <= len(found) <= 12
    assert np.mean([dense.trusted.mean() for dense in found.values()]) > 0.3


def test_stage_1_is_held_to_the_surface_less_and_less(town, matched, monkeypatch):
    _, dataset = town
    monkeypatch.setattr("nerfseg_ns.geometry.dense.known_surface.find_dense_depth", lambda *_: matched)
    torch.manual_seed(0)
    sizes = dict(resolutions=(16, 32), components=4, width=16, proposal_resolution=(16, 8))
    config = GridGeometryConfig(**sizes, surface_weight=0.5, surface_steps=100, surface_rest=0.2)
    geometry = config.setup()
    geometry.fit_to_scene(dataset)
    rays = dataset.cameras.generate_rays(torch.zeros(64, 1, dtype=torch.long), coords=torch.rand(64, 2) * 96)
    levels = geometry.train()(rays)
    losses = [geometry.get_losses(levels, torch.rand(64, 3), step)["surface_loss"].item() for step in (0, 50, 100, 900)]
    assert losses == pytest.approx([losses[0] * share for share in (1, 0.6, 0.2, 0.2)]) and losses[0] > 0
    known = geometry.surface.look_up(rays)[:, 0] > 0
    optimizer = torch.optim.Adam(geometry.parameters(), lr=0.03)
    for _ in range(100):
        levels = geometry(rays)
        losses = geometry.get_losses(levels, torch.rand(64, 3), 0)
        optimizer.zero_grad()
        (losses["surface_loss"] + losses["interlevel_loss"]).backward()  # the samples follow the field
        optimizer.step()
    depth = levels[0].depth[:, 0].detach()
    gap = (depth - geometry.surface.look_up(rays)[:, 0]).abs()[known] / geometry.surface.camera_height
    assert gap.median() < 0.05
    with torch.no_grad():
        assert "surface_loss" not in geometry.get_losses(geometry.eval()(rays), torch.rand(64, 3), 0)
    without = GridGeometryConfig(**sizes, surface_weight=0).setup()
    without.fit_to_scene(dataset)
    assert without.surface is None and "surface_loss" not in without.get_losses(
        without.train()(rays), torch.rand(64, 3), 0
    )
