"""Grids looked up by several threads: as if by one."""

from typing import Iterator

import pytest
import torch

from nerfseg_ns.core.grids import sample_voxels
from nerfseg_ns.geometry.planes import MultiScalePlanes


@pytest.fixture(params=[1, 2, 3])
def threads(request) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("points", [0, 12, 13])
def test_voxels_are_the_same_with_and_without_gradients(points, threads):
    torch.manual_seed(0)
    grid, positions = torch.randn(1, 6, 3, 5, 7), torch.rand(points, 3) * 2.4 - 1.2
    alone = torch.cat([torch.empty(0, 6), *(sample_voxels(grid, position[None]) for position in positions)])
    with torch.no_grad():
        assert torch.equal(sample_voxels(grid, positions), alone)
    assert torch.equal(sample_voxels(grid, positions), alone)


def test_planes_are_those_of_nerfstudio(threads):
    torch.manual_seed(0)
    planes = MultiScalePlanes((8, 12), height_ratio=0.5, components=6)
    positions, wanted = torch.rand(7, 4, 3) * 2.4 - 1.2, torch.randn(7, 4, 12)
    theirs = torch.cat([scale(positions) for scale in planes.scales], dim=-1)
    (theirs * wanted).sum().backward()
    gradients = [plane.grad.clone() for plane in planes.parameters()]
    planes.zero_grad()
    ours = planes(positions)
    (ours * wanted).sum().backward()
    torch.testing.assert_close(ours, theirs)
    for plane, gradient in zip(planes.parameters(), gradients):
        torch.testing.assert_close(plane.grad, gradient)
    with torch.no_grad():
        torch.testing.assert_close(planes(positions), theirs)
