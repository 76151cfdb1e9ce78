"""UnitSphere against its formula."""

import pytest
import torch
from torch_geometric.data import Data

from graphmask.transforms import UnitSphere


def cloud(n, dim=3, seed=0, dtype=torch.float64):
    return torch.randn(n, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def reference(pos):
    pos = pos.double() - pos.double().mean(dim=0)
    norm = pos.norm(dim=1).max()
    return pos / norm if norm > 0 else pos


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_clouds_of_any_scale_are_normalised(scale, offset):
    pos = (cloud(20) + offset) * scale
    torch.testing.assert_close(UnitSphere()(Data(pos=pos)).pos, reference(cloud(20) + offset))


def test_clouds_far_from_the_origin_are_normalised():
    pos = cloud(20).round(decimals=3) + 2.0**30
    torch.testing.assert_close(UnitSphere()(Data(pos=pos)).pos, reference(pos - 2.0**30))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coincident_points_go_to_the_origin(n, dtype):
    pos = torch.tensor([[0.1, -0.7, 1e5]], dtype=dtype).repeat(n, 1)
    assert torch.equal(UnitSphere()(Data(pos=pos)).pos, torch.zeros_like(pos))


def test_derivatives_are_finite_differences():
    pos = cloud(6, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: UnitSphere()(Data(pos=p)).pos, (pos,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_points_are_those_of_the_formula(dtype, dim):
    data = Data(pos=cloud(50, dim, dtype=dtype) * 7 + 30)
    out, tolerance = UnitSphere()(data), 8 * torch.finfo(dtype).eps
    assert out.pos.dtype == dtype
    torch.testing.assert_close(out.pos.double(), reference(data.pos), rtol=0, atol=tolerance)
