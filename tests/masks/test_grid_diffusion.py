"""Diffusion on grids and hypercubes against networkx and scipy."""

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
from graphmask.masks import GridDiffusionMask, HypercubeMask
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


@pytest.mark.parametrize("bits", [1, 2, 3, 6])
@pytest.mark.parametrize("t", [0.01, 0.7, 20.0])
def test_hypercubes_by_networkx_and_scipy(bits: int, t: float) -> None:
    graph = networkx.hypercube_graph(bits)
    L = networkx.laplacian_matrix(graph, sorted(graph)).toarray().astype(float)
    operator = HypercubeMask(scale=t).double()(Topology(NONE, 2**bits))
    expected = torch.from_numpy(expm(-t * L))
    assert_close(operator.to_dense()[0], expected, rtol=1e-10, atol=1e-12)
    assert_close((operator @ torch.eye(2**bits))[0], expected, rtol=1e-10, atol=1e-12)


def test_products_with_hypercubes_are_exact_entry_by_entry() -> None:
    """In float32, over 15 orders of magnitude in one column."""
    operator = HypercubeMask(scale=0.05).float()(Topology(NONE, 2**12))
    x = torch.zeros(2**12, dtype=torch.float32)
    x[0] = 1
    found = (operator @ x)[0].double()
    expected = (
        HypercubeMask(scale=0.05)
        .double()(Topology(NONE, 2**12))
        .rows(torch.tensor([0]))[0, 0]
        .double()
    )
    assert expected.min() < 1e-15 * expected.max()
    assert_close(found, expected, rtol=1e-5, atol=0)


def test_graphs_of_no_node_are_no_hypercubes_and_no_harm() -> None:
    topology = Topology(NONE, batch=torch.tensor([1, 3, 1]), num_graphs=6)
    assert_close(HypercubeMask()(topology) @ torch.ones(3), torch.ones(1, 3), check_dtype=False)
    assert (
        HypercubeMask()(Topology(NONE, batch=torch.tensor([1]), num_graphs=2)) @ torch.ones(1)
    ).tolist() == [[1.0]]
