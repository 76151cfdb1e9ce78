"""Diffusion on grids and hypercubes against networkx and scipy."""

from __future__ import annotations

import math

import networkx
import numpy as np
import pytest
import torch
from cases.graphs import NONE, edgeless, normal
from scipy.linalg import expm
from torch.testing import assert_close

from graphmask import Topology
from graphmask.kernels import Pattern
from graphmask.masks import GridDiffusionMask, HypercubeMask, KroneckerMask, TopologicalMask
from graphmask.operators import GridDiffusionOperator
from graphmask.testing import assert_gradients, check_operator


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (4, 3), (2, 3, 4), (2, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("t", [0.01, 1.0, 20.0])
def test_grids_have_the_heat_kernel_of_scipy(shape: tuple[int, ...], t: float) -> None:
    mask = GridDiffusionMask(shape, scale=t).double()
    assert_heat_kernel(mask, networkx.grid_graph(shape[::-1]), t)


@pytest.mark.parametrize("bits", [1, 2, 3, 6])
@pytest.mark.parametrize("t", [0.01, 0.7, 20.0])
def test_hypercubes_have_the_heat_kernel_of_scipy(bits: int, t: float) -> None:
    assert_heat_kernel(HypercubeMask(scale=t).double(), networkx.hypercube_graph(bits), t)


def test_products_of_grids_are_diffusion_on_their_product() -> None:
    mask = KroneckerMask(GridDiffusionMask(3, scale=0.5), GridDiffusionMask(4, scale=0.5)).double()
    assert_heat_kernel(mask, networkx.grid_graph((4, 3)), 0.5)


def assert_heat_kernel(mask: TopologicalMask, graph: networkx.Graph, t: float) -> None:
    adjacency = networkx.to_numpy_array(graph, sorted(graph))
    expected = torch.from_numpy(expm(t * (adjacency - np.diag(adjacency.sum(0)))))
    operator = mask(edgeless(len(graph)))
    for M in (operator.to_dense()[0], (operator @ torch.eye(len(graph)))[0]):
        assert_close(M, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(1,), (6,), (5, 2), (2, 2, 3)], ids=str)
def test_long_axes_run_as_fourier_transforms(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = edgeless(*[math.prod(shape)] * 2)
    operator = GridDiffusionOperator(topology, shape, torch.tensor([[0.3], [2.0]]))
    x = normal(topology.num_nodes, 3)
    expected = operator @ x
    monkeypatch.setattr("graphmask.operators.grid_diffusion.MATRIX_AXIS", 0)
    check_operator(GridDiffusionOperator(topology, shape, torch.tensor([[0.3], [2.0]])))
    assert_close(operator @ x, expected)
    mask = GridDiffusionMask(shape, heads=2).double()
    assert_gradients(lambda x: mask(topology) @ x, x, module=mask)


@pytest.mark.parametrize("shape", [(100_000,), (600, 90), (40, 40, 40)], ids=str)
def test_a_large_grid_in_single_precision(shape: tuple[int, ...]) -> None:
    """Heat is kept, and spreads from one node as the closed form says."""
    n = math.prod(shape)
    operator = GridDiffusionMask(shape, scale=3.0).float()(edgeless(n))
    x = torch.zeros(n, dtype=torch.float32)
    x[n // 3] = 1
    heat = (operator @ x)[0]
    assert_close(heat.sum(), torch.tensor(1.0, dtype=torch.float32), rtol=1e-5, atol=0)
    near = torch.arange(max(0, n // 3 - 3), n // 3 + 4)
    pattern = Pattern.from_coo(near, torch.full_like(near, n // 3), (n, n))
    assert_close(heat[near], operator.lookup(pattern)[0], rtol=1e-4, atol=1e-7)


def test_axes_may_have_their_own_time() -> None:
    mask = GridDiffusionMask((2, 2), per_axis=True).double()
    mask.log_t.data = torch.tensor([[math.log(0.5), -40.0]])
    decay = 0.5 * math.exp(-1)
    expected = torch.tensor([0.5 + decay, 0, 0.5 - decay, 0])
    assert_close(mask(edgeless(4)).to_dense()[0, 0], expected, rtol=1e-6, atol=1e-6)


def test_products_with_hypercubes_are_exact_entry_by_entry() -> None:
    """In float32, over 15 orders of magnitude in one column."""
    mask, n = HypercubeMask(scale=0.05), 2**12
    x = torch.zeros(n, dtype=torch.float32)
    x[0] = 1
    column = (mask.float()(edgeless(n)) @ x)[0].double()
    expected = mask.double()(edgeless(n)).rows(torch.tensor([0]))[0, 0].double()
    assert expected.min() < 1e-15 * expected.max()
    assert_close(column, expected, rtol=1e-5, atol=0)


def test_batches_of_hypercubes_may_have_empty_graphs() -> None:
    for batch, num_graphs in (([1, 3, 1], 6), ([1], 2)):
        topology = Topology(NONE, batch=torch.tensor(batch), num_graphs=num_graphs)
        out = HypercubeMask()(topology) @ torch.ones(len(batch))
        assert_close(out, torch.ones(1, len(batch)), check_dtype=False)
