"""The frame of an aerial scene, depth, and the points that are matched between photos."""

import math

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_samplers import UniformSampler
from PIL import Image

from nerfseg_ns.data.dataset import LabelledDataset
from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.geometry.depth import median_depth
from nerfseg_ns.geometry.depth_rays import MANY_VIEWS, MAX_VIEWS, choose_views, find_depth_rays
from nerfseg_ns.geometry.grid import GridGeometryConfig
from nerfseg_ns.geometry.scene_frame import SceneFrame
from nerfseg_ns.town.config import TownConfig
from nerfseg_ns.town.make import make_town


def random_rotation(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    q = q * r.diagonal().sign()
    return q if torch.linalg.det(q) > 0 else q[:, [1, 0, 2]]


def slab(seed: int, scale: float = 1.0) -> tuple:
    """A slab of 4 x 3 x 0.4 with cameras above it, one in 200 points far out, turned and moved; with what moved it."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([4.0, 3.0, 0.4])
    points = (torch.rand(3000, 3, generator=generator) - 0.5) * size
    wild = torch.rand(3000, generator=generator) < 0.005
    points[wild] *= 4
    cameras = torch.randn(20, 3, generator=generator) * 0.5 + torch.tensor([0.0, 0.0, 2.5])
    rotation, shift = random_rotation(seed), torch.randn(3, generator=generator)

    def place(x):
        return scale * (x @ rotation.T) + shift

    return place(points), place(cameras), ~wild, rotation


def fitted(seed: int = 0, scale: float = 1.0) -> SceneFrame:
    points, cameras, *_ = slab(seed, scale)
    frame = SceneFrame()
    frame.fit(points, cameras)
    return frame


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_frame_finds_the_slab_whatever_its_pose_and_scale(seed, scale):
    points, cameras, inliers, rotation = slab(seed, scale)
    frame = SceneFrame()
    assert not frame.fitted
    frame.fit(points, cameras)
    assert frame.fitted
    assert torch.allclose(frame.rotation @ frame.rotation.T, torch.eye(3), atol=1e-5)
    assert torch.linalg.det(frame.rotation) > 0
    up = rotation[:, 2]  # the slab's own third axis; the cameras are on its positive side
    assert (frame.rotation[2] @ up).item() > math.cos(math.radians(3))
    assert 0.35 * scale < frame.thickness.item() < 0.9 * scale
    box = frame.to_box(points[inliers])
    assert ((box.abs() <= 1.0).all(dim=-1)).float().mean() > 0.9
    assert (box[:, 2].abs() <= 1).float().mean() > 0.99
    assert (frame.half_size[:2] < 2 * 3.2 * scale).all()  # the outliers, four times as far, do not stretch it
    assert (frame.to_box(cameras)[:, 2] > 1).all()


def along_the_horizon(frame: SceneFrame, tilts: torch.Tensor) -> RayBundle:
    """Rays from above the slab, at so small angles to it that they leave its surroundings before they reach it."""
    turns = torch.linspace(0, 6, len(tilts))
    ground = torch.stack([turns.cos(), turns.sin(), -tilts], dim=-1)
    origins = frame.centre + 4 * frame.half_size[2] * frame.rotation[2].expand(len(tilts), 3)
    area = torch.full((len(tilts), 1), 1e-4)
    return RayBundle(origins, torch.nn.functional.normalize(ground @ frame.rotation, dim=-1), area)


def test_rays_that_miss_the_frame_have_no_length():
    frame = fitted(1)
    rays = along_the_horizon(frame, torch.logspace(-9, -3, 60))
    near, far, through_ground = frame.intersect(rays.origins, rays.directions)
    assert (near == 0).all() and (far == 0).all() and not through_ground.any()


@pytest.mark.parametrize("seed", range(3))
def test_rays_along_the_horizon_teach_nothing_wild(seed):
    """Where they meet the slab's height, numbers are too coarse for a sample's length: the losses had no bounds."""
    torch.manual_seed(seed)
    geometry = GridGeometryConfig(resolutions=(16, 32)).setup()
    geometry.frame.load_state_dict(fitted(seed).state_dict())
    torch.nn.init.uniform_(geometry.proposal.grid, 0, 3)
    geometry.train()
    rays = along_the_horizon(geometry.frame, torch.logspace(-8, -4, 200))
    losses = geometry.get_losses(geometry(rays), torch.zeros(200, 3), step=600)
    assert 0 <= losses["interlevel_loss"] < 1e-3 and 0 <= losses["distortion_loss"] < 1e-3
    sum(losses.values()).backward()
    grads = [values.grad for values in geometry.parameters() if values.grad is not None]
    assert grads and all(torch.isfinite(grad).all() and grad.abs().max() < 10 for grad in grads)


def test_frame_travels_in_the_state_dict():
    frame, other = fitted(3), SceneFrame()
    other.load_state_dict(frame.state_dict())
    x = torch.randn(50, 3)
    assert other.fitted and torch.equal(frame.to_grid(x), other.to_grid(x))


@pytest.mark.parametrize("seed", range(3))
def test_grid_coordinates_are_bounded_and_continuous(seed):
    frame = fitted(seed, scale=0.5)
    torch.manual_seed(seed)
    reach = frame.half_size.max() * 20
    start, end = (torch.rand(2, 40, 1, 3) - 0.5) * reach + frame.centre
    t = torch.linspace(0, 1, 20001)[None, :, None]
    grid = frame.to_grid(start + t * (end - start))
    assert grid.abs().max() <= 1
    step = (end - start).norm(dim=-1).max() / 20000
    slope = 1 / frame.half_size.min()  # nothing is stretched more than the core's thinnest side
    assert (grid[:, 1:] - grid[:, :-1]).norm(dim=-1).max() < 2 * step * slope + 1e-5


def test_grid_keeps_points_apart_along_the_ground():
    frame = fitted(1)
    along = torch.linspace(0, 6, 200)[:, None] * frame.half_size[0] * frame.rotation[0] + frame.centre
    x = frame.to_grid(along)[:, 0]
    assert (x[1:] > x[:-1]).all()
    assert x[-1].item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_intersection_agrees_with_marching(seed):
    frame = fitted(seed)
    torch.manual_seed(seed)
    count, steps = 40, 40001
    origins = frame.centre + torch.randn(count, 3) * 3
    targets = frame.centre + (torch.rand(count, 3) - 0.5) * 2 * frame.half_size.max()
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    directions[:8] *= -1  # some look away
    near, far, through_ground = frame.intersect(origins, directions)
    length = 60.0
    t = torch.linspace(0, length, steps)
    assert far[far > near].max() < length
    for ray in range(count):
        box = frame.to_box(origins[ray] + t[:, None] * directions[ray])
        inside = (box[:, :2].abs() <= 6).all(dim=-1) & (box[:, 2].abs() <= 1)
        if not inside.any():
            assert (far[ray] - near[ray]).item() < 2 * length / steps
            continue
        first, last = t[inside][0].item(), t[inside][-1].item()
        assert near[ray].item() == pytest.approx(first, abs=2 * length / steps)
        assert far[ray].item() == pytest.approx(last, abs=2 * length / steps)
        leave = frame.to_box(origins[ray] + far[ray] * directions[ray])
        below = bool(leave[2] < -0.99 and leave[:2].abs().max() < 1)
        assert bool(through_ground[ray]) == below
    assert through_ground.any() and not through_ground.all()


def test_a_ray_along_an_axis_is_finite():
    frame = fitted(0)
    origin = (frame.centre + 2 * frame.rotation[2])[None]
    near, far, through_ground = frame.intersect(origin, -frame.rotation[2][None])
    assert near.item() == pytest.approx(2 - frame.thickness.item() / 2, abs=1e-3)
    assert far.item() == pytest.approx(2 + frame.thickness.item() / 2, abs=1e-3)
    assert through_ground.item()


def test_median_depth_is_where_half_of_the_light_is_absorbed():
    torch.manual_seed(0)
    rays = RayBundle(torch.zeros(30, 3), torch.eye(3)[[2] * 30], torch.ones(30, 1), metadata={})
    rays.nears, rays.fars = torch.full((30, 1), 1.0), torch.full((30, 1), 3.0)
    samples = UniformSampler(12).train()(rays)
    weights = torch.rand(30, 12, 1) ** 4
    weights = weights / weights.sum(dim=1, keepdim=True) * torch.linspace(0.2, 1.0, 30)[:, None, None]
    behind = torch.full((30, 1), 99.0)
    found = median_depth(weights, samples.frustums.starts, samples.frustums.ends, behind)
    for ray in range(30):
        absorbed, expected = 0.0, 99.0
        for i in range(12):
            weight = weights[ray, i, 0].item()
            if absorbed + weight >= 0.5:
                start, end = (edge[ray, i, 0].item() for edge in (samples.frustums.starts, samples.frustums.ends))
                expected = start + (0.5 - absorbed) / weight * (end - start)
                break
            absorbed += weight
        assert found[ray].item() == pytest.approx(expected, rel=1e-4)
    assert (found == 99).any() and (found < 3).any()


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    """A town sharp enough to match, its training photos, and the rays matched between them."""
    config = TownConfig(seed=1, image_size=96, train_views=16, validation_views=1, test_views=1, labelled_views=1)
    folder = make_town(config, tmp_path_factory.mktemp("matched") / "town")
    outputs = CarlaMVSDataParserConfig(data=folder).setup().get_dataparser_outputs("train")
    dataset = LabelledDataset(outputs)
    return folder, dataset, find_depth_rays(dataset)


def camera_of(cameras: Cameras, origin: torch.Tensor) -> int:
    return int((cameras.camera_to_worlds[:, :, 3] - origin).norm(dim=-1).argmin())


def test_matched_points_lie_on_the_true_surfaces(matched):
    folder, dataset, rays = matched
    assert len(rays) > 200
    errors = []
    for origin, direction, distance in zip(rays.origins, rays.directions, rays.distances, strict=True):
        index = camera_of(dataset.cameras, origin)
        camera = dataset.cameras[index]
        local = camera.camera_to_worlds[:, :3].T @ direction  # OpenGL axes
        x = (camera.fx * local[0] / -local[2] + camera.cx).item()
        y = (camera.fy * -local[1] / -local[2] + camera.cy).item()
        depth = np.load(folder / "truth/train/depth" / f"{dataset.image_filenames[index].stem}.npy")
        # the nearest of the pixels around: a match at an edge belongs to one of its two sides
        rows, columns = (slice(max(0, int(v) - 1), int(v) + 2) for v in (y, x))
        truth = depth[rows, columns]
        errors.append(np.abs(truth / distance.item() - 1).min())
    assert torch.allclose(rays.directions.norm(dim=-1), torch.ones(len(rays)), atol=1e-4)
    assert np.median(errors) < 0.01
    assert np.mean(np.array(errors) < 0.03) > 0.85


def test_frame_of_a_town_covers_what_its_photos_show(matched):
    folder, dataset, rays = matched
    frame = SceneFrame()
    frame.fit_to_dataset(dataset, rays.points)
    assert frame.rotation[2, 2] > math.cos(math.radians(3))  # z is up in a town
    covered = []
    for index in range(0, len(dataset), 4):
        camera = dataset.cameras[index : index + 1]
        bundle = camera.generate_rays(0)
        depth = torch.from_numpy(np.load(folder / "truth/train/depth" / f"{index:04d}.npy"))
        solid = torch.isfinite(depth)
        points = (bundle.origins + depth[..., None] * bundle.directions)[solid]
        near, far, _ = frame.intersect(bundle.origins[solid], bundle.directions[solid])
        distance = depth[solid][:, None]
        covered.append(((distance >= near * 0.999) & (distance <= far * 1.001)).float().mean())
        assert torch.isfinite(points).all()
    assert torch.stack(covered).mean() > 0.97


def survey(rows: int, columns: int) -> Cameras:
    """A flight that looks straight down, to and fro over a field with photos one unit apart in the row, two between."""
    places = [
        (2.0 * row, float(column if row % 2 else columns - 1 - column))
        for row in range(rows)
        for column in range(columns)
    ]
    poses = torch.eye(4)[:3].repeat(rows * columns, 1, 1)
    poses[:, :2, 3] = torch.tensor(places)
    return Cameras(poses, 10.0, 10.0, 5.0, 5.0, 10, 10)


def test_few_photos_are_all_read_and_more_of_them_evenly():
    assert choose_views(survey(5, 6)).tolist() == list(range(30))
    chosen = choose_views(survey(10, MANY_VIEWS // 10))
    assert len(chosen) == MAX_VIEWS and set(np.diff(chosen)) == {4, 5}


@pytest.mark.parametrize(("rows", "columns"), [(25, 10), (31, 32), (100, 100)])
def test_of_a_large_flight_photos_are_read_that_overlap_and_the_whole_of_it(rows, columns):
    cameras = survey(rows, columns)
    chosen = choose_views(cameras)
    places = cameras.camera_to_worlds[chosen, :2, 3]
    assert MAX_VIEWS - 5 <= len(chosen) <= MAX_VIEWS and len(set(chosen.tolist())) == len(chosen)
    gaps = torch.cdist(places, places).fill_diagonal_(torch.inf)
    assert (gaps.min(dim=1).values < 2.01).all()  # each has another right beside it, in its row or the next
    everywhere = torch.cdist(torch.rand(500, 2) * torch.tensor([2.0 * rows, float(columns)]), places).min(dim=1).values
    assert everywhere.max() < 0.5 * math.hypot(2 * rows, columns)
    extent = places.amax(dim=0) - places.amin(dim=0)
    assert (extent > 0.7 * torch.tensor([2.0 * rows, float(columns)])).all()


def test_photos_that_look_another_way_are_not_read_as_neighbours():
    cameras = survey(20, 20)
    cameras.camera_to_worlds[1::2, :, 1:3] *= -1.0  # every other one looks up
    chosen = choose_views(cameras)
    up = cameras.camera_to_worlds[chosen, 2, 2] < 0
    places = cameras.camera_to_worlds[chosen, :2, 3]
    gaps = torch.cdist(places, places).masked_fill(up[:, None] != up[None], torch.inf).fill_diagonal_(torch.inf)
    assert (gaps.min(dim=1).values < 2.3).all()


def test_photos_without_matches_still_give_a_frame(tmp_path, capsys):
    config = TownConfig(seed=2, image_size=24, train_views=6, validation_views=1, test_views=1, labelled_views=1)
    folder = make_town(config, tmp_path / "town")
    for photo in (folder / "train/rgb").iterdir():
        Image.new("RGB", (24, 24), (90, 90, 90)).save(photo)
    dataset = LabelledDataset(CarlaMVSDataParserConfig(data=folder).setup().get_dataparser_outputs("train"))
    rays = find_depth_rays(dataset)
    assert len(rays) == 0
    frame = SceneFrame()
    frame.fit_to_dataset(dataset, rays.points)
    assert frame.fitted and torch.isfinite(frame.half_size).all() and (frame.half_size > 0).all()
    assert "could be matched" in " ".join(capsys.readouterr().out.split())
    view = dataset.cameras.generate_rays(0)
    near, far, _ = frame.intersect(view.origins[12, 12:13], view.directions[12, 12:13])
    assert far > near


def test_field_and_proposal_grid_are_taught_at_every_step(matched):
    """The rays whose end is known teach the field; the proposal grid learns from the field on the batch's rays."""
    _, dataset, _ = matched
    torch.manual_seed(0)
    geometry = GridGeometryConfig(resolutions=(16, 32), components=4, width=16, proposal_resolution=(16, 8)).setup()
    geometry.fit_to_scene(dataset)
    geometry.train()
    bundle = dataset.cameras.generate_rays(torch.zeros(32, 1, dtype=torch.long), coords=torch.rand(32, 2) * 96)
    for step in (0, 200):
        geometry.update_to_step(step)
        levels = geometry(bundle)
        losses = geometry.get_losses(levels, torch.rand(32, 3), step)
        geometry.zero_grad()
        losses["depth_loss"].backward()
        assert geometry.field.planes.scales[0].plane_coefs[0].grad.abs().sum() > 0
        losses["interlevel_loss"].backward()
        gradient = geometry.proposal.grid.grad
        assert gradient is not None and gradient.abs().sum() > 0, f"no gradient for the proposal grid at step {step}"
