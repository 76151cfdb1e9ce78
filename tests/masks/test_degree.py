from __future__ import annotations

import math

import pytest
import torch
from cases.graphs import star
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.masks import DegreeMask

STAR = star(4).edge_index


def test_values_of_a_star() -> None:
    """Degrees 3, 1, 1, 1 and 0: z is 1, log 2 / log 4 = 1/2, and 0."""
    M = DegreeMask()(Topology(STAR, 5)).to_dense()[0]
    z = torch.tensor([1.0, 0.5, 0.5, 0.5, 0.0])
    assert_close(M, torch.sin(math.pi / 4 * (z[:, None] + z)))
    assert_close(M[0, 4], torch.tensor(math.sqrt(0.5)))


def test_a_larger_power_separates_hubs() -> None:
    mask = DegreeMask(2)
    mask.log_power.data.copy_(torch.tensor([0.0, 2.0]).log1p())
    M = mask(Topology(STAR, 5)).to_dense()
    assert_close(M[1, 1, 1], torch.sin(torch.tensor(math.pi / 4 * 2 * 0.5**3)))
    assert_close(M[:, 0, 0], torch.ones(2))


def test_a_graph_without_edges_has_no_mask_and_finite_gradients() -> None:
    weight = torch.zeros(6, requires_grad=True)
    mask = DegreeMask()
    q = torch.ones(4, 1, 2, requires_grad=True)
    out = attention(q, q, q, mask(Topology(STAR, 4, weight)))
    assert_close(out, torch.zeros_like(q))
    out.sum().backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in (weight, q, mask.log_power))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_beyond_the_type(dtype: torch.dtype) -> None:
    """Degrees 3e38, 6e38 and 3e38."""
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    weight = torch.full((4,), 3e38, dtype=dtype)
    size = weight[0].double() * torch.tensor([1, 2, 1], dtype=torch.float64)
    z = size.log1p() / size.log1p().max()
    expected = torch.sin(torch.pi / 4 * (z.unsqueeze(0) + z.unsqueeze(1)))
    weight.requires_grad_()
    dense = DegreeMask()(Topology(edge_index, 3, weight)).to_dense()[0]
    assert torch.allclose(dense.double(), expected, atol=1e-5)
    dense.sum().backward()
    assert weight.grad.isfinite().all()
