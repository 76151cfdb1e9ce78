"""Samplers that keep their paths, against walks walked one by one, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import cases
import networkx as nx
import pytest
import torch
from builders import seeded
from counting import Written
from hypothesis import given
from hypothesis import strategies as st
from oracles import neighbours, paths_of
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.features import EluPlusOne
from graphmask.masks import Free, GRFMask, WalkMask
from graphmask.nn import TopologicalAttention
from graphmask.testing import assert_gradients, example_topologies
from graphmask.walks import (
    Antithetic,
    AntitheticWalks,
    FixedLength,
    Geometric,
    IIDWalks,
    Poisson,
    RepellingWalks,
    Systematic,
    WalkSampler,
    paths,
)
from graphmask.walks.paths import PathSampler, sort_keys

SAMPLERS = (
    IIDWalks(3, 0.2, 3),
    IIDWalks(2, hops=3, normalization="rw", length_law=Poisson(1.5)),
    IIDWalks(4, hops=2, normalization=None, length_law=Systematic(Geometric(0.3))),
    AntitheticWalks(5, 0.4, 3),
    RepellingWalks(7, 0.2, 3),
    RepellingWalks(6, hops=3, normalization=None, length_law=FixedLength(4)),
    RepellingWalks(3, hops=3, normalization="rw", length_law=Antithetic(Geometric(0.2))),
)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
awkward = pytest.mark.parametrize("name", ["multigraph", "directed", "signed", "ragged"])


def with_gradient(name: str) -> tuple[Topology, Tensor]:
    topology = example_topologies()[name]
    weight = topology.edge_weight.clone().requires_grad_()
    return Topology(topology.edge_index, topology.num_nodes, weight, topology.batch), weight


def walk_by_walk(sampler: PathSampler, topology: Topology, generator: torch.Generator) -> Tensor:
    """The walks ``[K + 1, N, N]`` by their definition."""
    W = reference.adjacency(
        topology.edge_index, topology.num_nodes, topology.edge_weight, sampler.normalization
    )
    degree = torch.tensor([len(ways) for ways in neighbours(topology)])
    walked = paths_of(sampler, topology, generator)
    return reference.path_walks(W, degree, walked, sampler.length_law.survival(sampler.hops))


@awkward
@every_sampler
def test_walks_equal_those_of_a_loop_over_walks_forward_and_backward(
    sampler: PathSampler, name: str
) -> None:
    topology, weight = with_gradient(name)
    actual, expected = (
        sampler(topology, seeded()).to_dense(),
        walk_by_walk(sampler, topology, seeded()),
    )
    assert_close(actual, expected)
    grad_output = torch.randn(actual.shape, generator=seeded(1))
    grads = [
        torch.autograd.grad((value * grad_output).sum(), weight, materialize_grads=True)
        for value in (actual, expected)
    ]
    assert grads[0][0].isfinite().all()
    assert_close(*grads)


@every_sampler
def test_edges_without_weight_have_a_gradient(sampler: PathSampler) -> None:
    """The product over a path keeps the other weights."""
    weight = torch.tensor([0.0, 2.0], requires_grad=True)
    line = Topology(torch.tensor([[1, 2], [0, 1]]), 3, weight)
    dense = type(sampler)(num_walks=64, hops=2, normalization=None)(line, seeded()).to_dense()
    assert dense[2, 0, 2] == 0
    (grad,) = torch.autograd.grad(dense[2, 0, 2], weight)
    assert grad[0] > 0.5
    assert grad[1] == 0


ATTENTION = {
    "walk": lambda sampler: WalkMask(3, 2, Free, sampler=sampler),
    "grf": lambda sampler: GRFMask(3, 2, sampler=sampler),
}


@pytest.mark.parametrize("make", ATTENTION.values(), ids=ATTENTION)
@pytest.mark.parametrize("name", ["multigraph", "directed", "signed"])
def test_edge_weights_learn_through_attention(name: str, make: Callable) -> None:
    """From raw edges, walks drawn in every call.

    The definition on the paths walked by hand, and finite differences.
    """
    topology, weight = with_gradient(name)
    sampler = IIDWalks(3, 0.2, 3)
    layer = cases.seeded(
        lambda: TopologicalAttention(4, 2, cases.scrambled(make(sampler)), feature_map=EluPlusOne())
    )
    x = torch.randn(topology.num_nodes, 4, generator=seeded(2))
    source = seeded(layer.mask.seed)
    sets = [walk_by_walk(sampler, topology, source) for _ in range(layer.mask.num_sets)]
    coefficients = cases.coefficients_reference(layer.mask.coefficients)
    kind = reference.walk_mask if len(sets) == 1 else reference.grf_mask
    q, k, v = layer.qkv(x).unflatten(1, (3, 2, -1)).unbind(1)
    phi = [reference.elu_plus_one(each) for each in (q, k)]
    expected = layer.out(reference.attention(*phi, v, kind(*sets, coefficients)).flatten(1))
    actual = layer(x, topology.edge_index, weight)
    assert_close(actual, expected)
    grad_output = torch.randn(actual.shape, generator=seeded(3))
    leaves = [weight, *layer.parameters()]
    grads = [torch.autograd.grad(out, leaves, grad_output) for out in (actual, expected)]
    assert grads[0][0].abs().sum() > 0
    assert_close(*grads)

    def loss(w: Tensor) -> Tensor:
        return (layer(x, topology.edge_index, w) * grad_output).sum()

    assert_gradients(loss, weight.detach())


@every_sampler
def test_gradients_are_taken_where_they_are_wanted(sampler: PathSampler) -> None:
    topology, _ = with_gradient("weighted")
    assert sampler(topology, seeded()).weight.requires_grad
    with torch.no_grad():
        assert not sampler(topology, seeded()).weight.requires_grad
    assert not sampler(example_topologies()["weighted"], seeded()).weight.requires_grad


@every_sampler
def test_blocks_of_nodes_do_not_show(sampler: PathSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = example_topologies()["ragged"]
    whole = sampler(topology, seeded()).to_dense()
    monkeypatch.setattr(paths, "_BLOCK_VISITS_CPU", 100)
    assert torch.equal(sampler(topology, seeded()).to_dense(), whole)


@every_sampler
def test_entries_are_few_sorted_and_summed(sampler: PathSampler) -> None:
    walks = sampler(example_topologies()["weighted"], seeded())
    assert walks.nnz <= 13 * (1 + sampler.num_walks * sampler.hops)
    key = (walks.row.long() * 13 + walks.col) * (sampler.hops + 1) + walks.hop
    assert (key.diff() > 0).all()


def test_cost_grows_with_the_number_of_nodes_and_no_faster() -> None:
    """Blocks of nodes bound what is held beside the result."""
    counts = []
    for size in (5_000, 10_000):
        ring = torch.stack([torch.arange(size), (torch.arange(size) + 1) % size])
        topology = Topology(torch.cat([ring, ring.flip(0)], 1), size)
        with Written() as written:
            walks = RepellingWalks(8, hops=4)(topology, seeded())
        counts.append(written.count)
        assert written.largest <= max(3 * walks.nnz, paths._BLOCK_VISITS_CPU)
    assert counts[1] < 2.2 * counts[0]


def test_hops_that_no_walk_makes_cost_nothing() -> None:
    """All end at node 2."""
    line = Topology(torch.tensor([[1, 2], [0, 1]]), 3)
    with Written() as short:
        IIDWalks(100, hops=3)(line, seeded())
    with Written() as long:
        IIDWalks(100, hops=60)(line, seeded())
    assert long.count < 1.1 * short.count


@given(st.lists(st.integers(0, 2**62)), st.integers(0, 61))
def test_keys_are_sorted_with_their_positions(keys: list[int], shift: int) -> None:
    """Small ones with many ties, and such as leave no room for positions."""
    key = torch.tensor(keys, dtype=torch.long) >> shift
    actual, position = sort_keys(key)
    expected = torch.sort(key, stable=True)
    assert torch.equal(actual, expected.values)
    assert torch.equal(position, expected.indices)


def errors(sampler: WalkSampler, topology: Topology, draws: int) -> Tensor:
    """``[draws]``, squared distances to the 2-regularised Laplacian, sum_t (t + 1) W^t / 4^t."""
    W = reference.adjacency(topology.edge_index, topology.num_nodes)
    alpha = (torch.arange(sampler.hops + 1) + 1) * 0.25 ** torch.arange(sampler.hops + 1)
    target = reference.power_series(W, alpha.unsqueeze(0))
    generator = seeded()
    drawn = [
        reference.walk_mask(sampler(topology, generator).to_dense(), alpha.unsqueeze(0))
        for _ in range(draws)
    ]
    return torch.stack([(each - target).square().sum() for each in drawn])


def karate_club() -> Topology:
    edge = torch.tensor(list(nx.karate_club_graph().edges)).mT
    return Topology(torch.cat([edge, edge.flip(0)], 1), 34)


# The better sampler, the worse one, and what the ratio of their errors stays below.
BETTER = {
    "antithetic": (AntitheticWalks(4, 0.45, 6), IIDWalks(4, 0.45, 6), 0.95),
    "systematic": (
        IIDWalks(8, hops=6, length_law=Systematic(Geometric(0.45))),
        IIDWalks(8, 0.45, 6),
        0.95,
    ),
    "repelling": (RepellingWalks(8, 0.1, 6), IIDWalks(8, 0.1, 6), 0.6),
    "both": (
        RepellingWalks(8, hops=6, length_law=Antithetic(Geometric(0.45))),
        RepellingWalks(8, 0.45, 6),
        0.95,
    ),
}


@pytest.mark.parametrize(("better", "worse", "ratio"), BETTER.values(), ids=BETTER)
def test_coupled_walks_have_a_lower_variance(
    better: WalkSampler, worse: WalkSampler, ratio: float
) -> None:
    few, many = (errors(sampler, karate_club(), 150) for sampler in (better, worse))
    deviation = ((few.var() + many.var()) / 150) ** 0.5
    assert few.mean() < ratio * many.mean()
    assert many.mean() - few.mean() > 4 * deviation
