from __future__ import annotations

import math

import networkx
import numpy as np
import pytest
import torch
from cases.grids import of_sizes
from scipy.linalg import expm
from torch.testing import assert_close

from graphmask import Topology
from graphmask.kernels import Pattern
from graphmask.masks import GridDiffusionMask
from graphmask.operators import GridDiffusionOperator
from graphmask.testing import assert_gradients, check_operator

NONE = torch.empty(2, 0, dtype=torch.long)


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (4, 3), (2, 3, 4), (2, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("t", [0.01, 1.0, 20.0])
def test_the_heat_kernel_of_networkx_and_scipy(shape: tuple[int, ...], t: float) -> None:
    graph = networkx.grid_graph(shape[::-1])
    L = (
        networkx.laplacian_matrix(graph, sorted(graph)).toarray().astype(float)
        if len(graph) > 1
        else np.zeros((1, 1))
    )
    operator = GridDiffusionMask(shape, scale=t).double()(Topology(NONE, math.prod(shape)))
    expected = torch.from_numpy(expm(-t * L))
    assert_close(operator.to_dense()[0], expected, rtol=1e-10, atol=1e-12)
    assert_close((operator @ torch.eye(math.prod(shape)))[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(1,), (6,), (5, 2), (2, 2, 3)], ids=str)
def test_long_axes_by_fourier_transforms(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = of_sizes(*[math.prod(shape)] * 2)
    operator = GridDiffusionOperator(topology, shape, torch.tensor([[0.3], [2.0]]))
    x = torch.randn(topology.num_nodes, 3, generator=torch.Generator().manual_seed(0))
    expected = operator @ x
    monkeypatch.setattr("graphmask.operators.grid_diffusion.MATRIX_AXIS", 0)
    check_operator(GridDiffusionOperator(topology, shape, torch.tensor([[0.3], [2.0]])))
    assert_close(operator @ x, expected)
    mask = GridDiffusionMask(shape, heads=2).double()
    assert_gradients(lambda x: mask(topology) @ x, x, module=mask)


@pytest.mark.parametrize("shape", [(100_000,), (600, 90), (40, 40, 40)], ids=str)
def test_a_large_grid_in_single_precision(shape: tuple[int, ...]) -> None:
    """Heat is kept, and spreads from one place as the closed form says."""
    n = math.prod(shape)
    operator = GridDiffusionMask(shape, scale=3.0).float()(Topology(NONE, n))
    x = torch.zeros(n, dtype=torch.float32)
    x[n // 3] = 1
    found = (operator @ x)[0]
    assert_close(found.sum(), torch.tensor(1.0, dtype=torch.float32), rtol=1e-5, atol=0)
    near = torch.arange(max(0, n // 3 - 3), n // 3 + 4)
    pattern = Pattern.from_coo(near, torch.full_like(near, n // 3), (n, n))
    assert_close(found[near], operator.lookup(pattern)[0], rtol=1e-4, atol=1e-7)


def test_times_per_axis() -> None:
    mask = GridDiffusionMask((2, 2), per_axis=True)
    mask.log_t.data = torch.tensor([[math.log(0.5), -40.0]])
    expected = torch.tensor([0.5 + 0.5 * math.exp(-1), 0, 0.5 - 0.5 * math.exp(-1), 0])
    assert_close(
        mask(Topology(NONE, 4)).to_dense()[0, 0], expected, check_dtype=False, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("t", [0, -1.0, float("nan"), float("inf")])
def test_times_that_are_not_positive_are_refused(t: float) -> None:
    with pytest.raises(ValueError, match="`scale` must be"):
        GridDiffusionMask((2, 2), scale=t)


def test_other_graphs_are_refused() -> None:
    for call in (GridDiffusionMask((2, 2)), GridDiffusionMask((2, 2)).prepare):
        with pytest.raises(
            ValueError,
            match=r"`topology` must be of graphs of 2 x 2 = 4 nodes each.*graphs of \[3, 4\] nodes",
        ):
            call(of_sizes(4, 3))


def test_times_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`t` must be of shape \[H, 2\] or \[H, 1\]"):
        GridDiffusionOperator(Topology(NONE, 4), (2, 2), torch.ones(1, 3))


def test_what_it_prints() -> None:
    assert (
        str(GridDiffusionMask((2, 3_000)))
        == "GridDiffusionMask((2, 3000), heads=1): O(N (2 + log 3000)) per column"
    )
    assert (
        repr(GridDiffusionMask((2, 3), heads=2, per_axis=True))
        == "GridDiffusionMask((2, 3), heads=2, per_axis=True)"
    )
