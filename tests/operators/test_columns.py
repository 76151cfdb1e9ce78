"""Attention by compiled columns is that of dense masks, with both derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cases
import networkx as nx
import pytest
import torch
from cases.graphs import grid, path
from cases.trees import tree
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask.kernels import columns
from graphmask.masks import (
    DiffusionMask,
    GRFMask,
    PolynomialExponentialDistance,
    PowerSeriesMask,
    StitchedMask,
    TableDistance,
    ToeplitzMask,
    TopologicalMask,
    TreeDistanceMask,
)
from graphmask.operators import Lifted, MaskOperator, _centroids, _trees, attend
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import replace

pytestmark = pytest.mark.skipif(not columns.HAS_NUMBA, reason="compiled by numba")

FOREST = nx.disjoint_union_all(
    [nx.random_labeled_tree(19, seed=1), nx.star_graph(4), nx.empty_graph(2), nx.path_graph(3)]
)


def graph(name: str) -> gm.Topology:
    return example_topologies()[name]


CASES: dict[str, tuple[Callable[[], TopologicalMask], Callable[[], gm.Topology]]] = {
    "tree-exponential": (partial(TreeDistanceMask, heads=2), partial(tree, FOREST, seed=3)),
    "tree-one-head": (TreeDistanceMask, partial(tree, FOREST, seed=3)),
    "tree-polynomial": (
        partial(TreeDistanceMask, partial(PolynomialExponentialDistance, 2), heads=2),
        partial(tree, FOREST, seed=3),
    ),
    "tree-table": (
        partial(TreeDistanceMask, partial(TableDistance, 9, unit=0.5), heads=2),
        partial(tree, FOREST, seed=3),
    ),
    "heat": (partial(DiffusionMask, heads=2), partial(graph, "directed")),
    "heat-long": (partial(DiffusionMask, heads=2, scale=9.0), partial(graph, "ragged")),
    "resolvent": (partial(DiffusionMask, 2, "resolvent", 0.7), partial(graph, "ragged")),
    "resolvent-sharp": (partial(DiffusionMask, 2, "resolvent", 0.98), partial(graph, "ragged")),
    "one-hop": (partial(PowerSeriesMask, 1, heads=2), partial(graph, "directed")),
    "grf": (partial(GRFMask, hops=2, heads=2), partial(graph, "ragged")),
    "stitched": (partial(StitchedMask, hops=1), partial(graph, "directed")),
    "toeplitz": (partial(ToeplitzMask, (4, 3), heads=2), partial(grid, 4, 3)),
    "toeplitz-path": (partial(ToeplitzMask, 7, heads=2), partial(path, 7)),
    "two-hops": (partial(PowerSeriesMask, 2, heads=2), partial(graph, "directed")),
}


@pytest.fixture(autouse=True)
def _always_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_MIN_COMPILED_WORK", 0)
    monkeypatch.setattr(_centroids, "_BLOCK", 4)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[TopologicalMask, gm.Topology]:
    mask, topology = CASES[request.param]
    prepared = cases.scrambled(mask()).double()
    return prepared, prepared.prepare(topology())


def features(nodes: int, m: int, d: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(2, nodes, c, generator=generator).double() + 0.1 for c in (m, m, d)]


def run(operator: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    assert operator._attend_columns(q, k, v, True) is not None
    sums = attend(operator, q, k, v, Lifted())
    return torch.cat([sums.numerator, sums.denominator.unsqueeze(-1)], -1)


@pytest.mark.parametrize(("m", "d"), [(3, 5), (17, 18), (16, 16)])
def test_sums_are_those_of_the_dense_mask(
    case: tuple[TopologicalMask, gm.Topology], m: int, d: int
) -> None:
    mask, topology = case
    q, k, v = features(topology.num_nodes, m, d)
    weight = cases.mask_reference(mask, topology) * (q @ k.mT)
    dense = torch.cat([weight @ v, weight.sum(-1, keepdim=True)], -1)
    out = run(mask(topology), q, k, v)
    assert_close(out, dense, rtol=1e-5, atol=1e-6)
    single = run(mask.float()(topology), q.float(), k.float(), v.float())
    assert_close(single.double(), out, rtol=1e-4, atol=1e-5 * float(out.detach().max()))


def test_threads_change_nothing(case: tuple[TopologicalMask, gm.Topology]) -> None:
    mask, topology = case
    inputs, threads = features(topology.num_nodes, 3, 5), torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            leaves = [x.clone().requires_grad_() for x in inputs]
            out = run(mask(topology), *leaves)
            parameters = [x for x in mask.parameters() if x.requires_grad]
            results.append([out, *torch.autograd.grad(out.square().sum(), leaves + parameters)])
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_both_derivatives(case: tuple[TopologicalMask, gm.Topology]) -> None:
    mask, topology = case

    def function(*inputs: Tensor) -> Tensor:
        return run(mask(topology), *inputs)

    assert_gradients(function, *features(topology.num_nodes, 2, 3), module=mask)


@pytest.mark.parametrize("name", ["tree-exponential", "tree-polynomial"])
def test_derivatives_by_lengths(name: str) -> None:
    make, make_topology = CASES[name]
    mask, topology = cases.scrambled(make()).double(), make_topology()
    i, j = topology.edge_index
    pair = torch.stack([torch.minimum(i, j), torch.maximum(i, j)])
    _, edge = torch.unique(pair, dim=1, return_inverse=True)
    lengths = torch.linspace(0.2, 2, int(edge.max()) + 1).double()

    def function(lengths: Tensor, *inputs: Tensor) -> Tensor:
        return run(mask(replace(topology, edge_weight=lengths[edge])), *inputs)

    assert_gradients(function, lengths, *features(topology.num_nodes, 2, 3), module=mask)


@pytest.mark.parametrize(
    "name",
    ["tree-exponential", "tree-polynomial", "tree-table", "heat-long", "resolvent", "grf"],
)
def test_other_graphs_are_not_read(name: str) -> None:
    make, make_topology = CASES[name]
    mask, topology = make().double(), make_topology()
    batch = topology.batch if topology.num_graphs > 1 else topology.derive(_trees.trees_of).label
    own = batch == batch[0]
    assert not bool(own.all())
    inputs = features(topology.num_nodes, 2, 3)
    for x in inputs:
        x[:, ~own] = torch.nan
        x.requires_grad_()
    out = run(mask(mask.prepare(topology)), *inputs)[:, own]
    assert bool(out.isfinite().all())
    for grad in torch.autograd.grad(out.sum(), inputs):
        assert bool(grad[:, own].isfinite().all())


@pytest.mark.parametrize("a", [-0.5, 1.0, 1.5, float("nan")])
def test_resolvents_that_are_none(a: float) -> None:
    topology = graph("ragged")
    with pytest.raises(ValueError, match="`a` must be between 0 and 1"):
        gm.operators.ResolventOperator(topology, *topology.adjacency(), torch.tensor([a, 0.5]))


def test_a_resolvent_of_0_is_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = graph("ragged")
    q, k, v = features(topology.num_nodes, 2, 3)
    for work in (0, 2**62):
        monkeypatch.setattr(columns, "_MIN_COMPILED_WORK", work)
        arguments = *topology.adjacency(), torch.zeros(2)
        operator = gm.operators.ResolventOperator(topology, *arguments, estimate=True)
        out = attend(operator, q, k, v, execution=Lifted())
        assert_close(out.numerator / out.denominator.unsqueeze(-1), v)
