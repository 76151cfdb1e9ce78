"""Masks on grids, hypercubes and products of graphs."""

from __future__ import annotations

import math

import networkx
import numpy as np
import pytest
import torch
from cases.graphs import NONE, edgeless, normal
from scipy.linalg import expm
from torch.testing import assert_close

from graphmask import Topology, attention
from graphmask.kernels import Pattern
from graphmask.masks import (
    CausalMask,
    GlobalMask,
    GridDiffusionMask,
    HypercubeMask,
    KroneckerMask,
    PowerSeriesMask,
    ToeplitzMask,
    TopologicalMask,
    WalkMask,
)
from graphmask.operators import GridDiffusionOperator
from graphmask.testing import assert_gradients, check_operator, example_topologies


def test_values_of_lines_and_planes() -> None:
    """Offsets of row and column, from the node that is attended to, to the one that attends."""
    mask = ToeplitzMask(3, signed=True)
    mask.raw.data = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    assert mask(edgeless(3)).to_dense()[0].tolist() == [[0, -1, -2], [1, 0, -1], [2, 1, 0]]
    mask = ToeplitzMask((2, 3), signed=True)
    mask.raw.data = torch.arange(15.0).reshape(1, 3, 5)
    dense = mask(edgeless(6)).to_dense()
    assert dense[0, 0].tolist() == [7, 6, 5, 2, 1, 0]
    assert dense[0, 5].tolist() == [14, 13, 12, 9, 8, 7]


def test_distances_are_those_of_shortest_paths() -> None:
    mask = ToeplitzMask((3, 2, 2), shared="distance")
    assert mask.raw.shape == (1, 5)
    mask.raw.data = torch.arange(5.0).unsqueeze(0)
    graph = networkx.grid_graph((2, 2, 3))
    nodes = sorted(graph)
    length = dict(networkx.all_pairs_shortest_path_length(graph))
    expected = torch.tensor([[float(length[x][y]) for y in nodes] for x in nodes])
    assert_close(mask(edgeless(12)).to_dense()[0].log(), expected, check_dtype=False)


def test_initial_values_are_ones_and_the_class_token_attends_to_all() -> None:
    mask = ToeplitzMask((2, 2), heads=2, class_token=True)
    assert_close(mask(edgeless(5)).to_dense(), torch.ones(2, 5, 5), check_dtype=False)
    mask.raw.data.fill_(-100.0)
    dense = mask(edgeless(5)).to_dense()[0].round()
    assert dense[0].tolist() == dense[:, 0].tolist() == [1.0] * 5
    assert dense[1:, 1:].sum() == 0


@pytest.mark.parametrize("shape", [(50_000,), (173, 211), (31, 29, 37)], ids=str)
def test_toeplitz_masks_of_large_grids_in_single_precision(
    shape: tuple[int, ...], generator: torch.Generator
) -> None:
    """Some rows of the product, on lengths with large prime factors."""
    mask = ToeplitzMask(shape).float()
    mask.raw.data.copy_(torch.rand(mask.raw.shape, generator=generator))
    topology = edgeless(mask.raw.new_empty(shape).numel())
    x = torch.rand(topology.num_nodes, generator=generator, dtype=torch.float32)
    operator = mask(topology)
    rows = torch.randint(topology.num_nodes, (5, 1), generator=generator)
    cols = torch.arange(topology.num_nodes).unsqueeze(0)
    expected = (operator._at(rows, cols)[0].double() * x).sum(1)
    assert_close((operator @ x)[0, rows.squeeze(1)].double(), expected, rtol=1e-5, atol=0)


def test_small_grids_attend_in_slices(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    mask, topology = ToeplitzMask((2, 2)), edgeless(*[4] * 9)
    q, k, v = (torch.rand(36, 1, 3, generator=generator).requires_grad_() for _ in range(3))

    def gradients() -> tuple[torch.Tensor, ...]:
        loss = attention(q, k, v, mask(topology)).square().sum()
        return torch.autograd.grad(loss, (q, k, v, mask.raw))

    expected = gradients()
    monkeypatch.setattr("graphmask.operators.executions.BLOCK_MEMORY", 16 * 8 * 2)
    assert_close(gradients(), expected)


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
def test_diffusion_on_large_grids_in_single_precision(shape: tuple[int, ...]) -> None:
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


def test_factors_may_have_edges_and_walks() -> None:
    """Walks are drawn once: equal products, in every call."""
    ring = example_topologies()["ring"]
    mask = KroneckerMask(PowerSeriesMask(2), WalkMask(2), graphs=(ring, ring)).double()
    topology = edgeless(49, 49)
    operator = mask(topology)
    a, b = mask.a(mask.graphs[0]).to_dense(), mask.b(mask.graphs[1]).to_dense()
    first = (topology.batch == 0).nonzero().squeeze(1)
    assert_close(operator.to_dense()[0, first][:, first], torch.kron(a[0], b[0]))
    assert_close(mask(topology).to_dense(), operator.to_dense(), rtol=0, atol=0)


def test_shapes_pass_through_sums_and_multiples() -> None:
    video = KroneckerMask(
        2 * CausalMask(0.5, length=3), GlobalMask() + 0.5 * ToeplitzMask((2, 2), class_token=True)
    )
    assert video.shape == (3, 5)
    assert video(edgeless(15)).shape == (1, 15, 15)
    assert KroneckerMask(video, ToeplitzMask(2)).shape == (3, 5, 2)
