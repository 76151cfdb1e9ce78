from __future__ import annotations

import pytest
import torch
from builders import seeded
from torch.testing import assert_close
from torch_geometric.data import Data

from graphmask import Topology, reference
from graphmask.masks import GRFMask, ShortestPathMask, WalkMask
from graphmask.testing import assert_unbiased, example_topologies
from graphmask.transforms import AddWalks, knn_graph
from graphmask.walks import ResampledWalks, Shells

EXAMPLES = example_topologies()


def exact_shells(graph: Topology, hops: int) -> torch.Tensor:
    distance = reference.path_distances(graph.edge_index, graph.num_nodes)
    return (distance == torch.arange(hops + 1.0).view(-1, 1, 1)).double()


def star(leaves: int) -> Topology:
    """A hub, and a path that ends in it."""
    step = torch.arange(1, leaves + 3)
    hub = torch.where(step <= leaves, 0, torch.where(step == leaves + 1, 0, step - 1))
    edges = torch.stack([step, hub])
    return Topology(torch.cat([edges, edges.flip(0)], 1), leaves + 3)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("hops", [0, 1, 4])
def test_balls_within_the_budget_are_exact_hop_distances(name: str, hops: int) -> None:
    graph = EXAMPLES[name]
    walks = Shells(budget=max(2, graph.num_nodes), hops=hops)(graph)
    assert_close(walks.to_dense().double(), exact_shells(graph, hops), rtol=0, atol=0)


def test_rows_keep_the_budget_and_near_shells_whole() -> None:
    graph = star(300)
    for budget in (2, 3, 7, 40):
        walks = Shells(budget, hops=3)(graph, seeded())
        counts = walks.pattern.rowptr.diff()
        assert int(counts.max()) <= budget
        dense = walks.to_dense()
        assert_close(dense[0], torch.eye(303))
        # Every stored pair stands at its distance.
        assert bool(((dense > 0) <= (exact_shells(graph, 3) > 0)).all())
    assert dense[1, 2, 0] == 1.0  # the hub of a leaf, one of 303
    assert float(dense[1, 0].max()) > 1.0  # the leaves of the hub, few for many


def test_budgets_are_unbiased_with_hubs() -> None:
    graph, generator = star(12), seeded()
    for budget in (3, 6):
        sampler = Shells(budget, hops=3)
        drawn = torch.stack([sampler(graph, generator).to_dense() for _ in range(300)])
        assert_unbiased(drawn, exact_shells(graph, 3).float())


@pytest.mark.parametrize("name", ["weighted", "directed", "ragged", "multigraph"])
def test_a_walk_mask_on_shells_estimates_the_shortest_path_mask(name: str) -> None:
    graph = EXAMPLES[name]
    exact = ShortestPathMask(hops=3, heads=2)
    mask = WalkMask(hops=3, heads=2, sampler=Shells(budget=graph.num_nodes, hops=3))
    mask.alpha.load_state_dict(exact.alpha.state_dict())
    drawn = mask.prepare(graph)
    expected = exact(graph).to_dense()
    assert_close(mask(drawn).to_dense(), expected)
    few = graph.with_walks(Shells(budget=2, hops=3)(graph))
    assert_close(mask.target(few).to_dense(), expected)
    assert mask.target(few).nonnegative == exact(graph).nonnegative
    factor = GRFMask(hops=1, sampler=Shells(hops=1), shared_walks=True)
    dense = factor.target(graph.with_walks(Shells(hops=1)(graph))).to_dense()
    M = reference.walk_mask(exact_shells(graph, 1), factor.f())
    assert_close(dense.double(), M @ M.mT, rtol=1e-5, atol=1e-5)


def test_stored_shells_are_read_as_shells() -> None:
    data = Data(edge_index=star(20).edge_index, num_nodes=23)
    data = AddWalks(Shells(budget=5, hops=2), seeded())(data)
    (walks,) = Topology.from_data(data).walk_sets
    assert walks.normalization == "shells"
    mask = WalkMask(hops=2, sampler=ResampledWalks(hops=2))
    expected = ShortestPathMask(hops=2)(star(20)).to_dense()
    assert_close(mask.target(Topology.from_data(data)).to_dense(), expected)


def test_weights_that_learn_are_not_read() -> None:
    graph = EXAMPLES["weighted"]
    weight = graph.edge_weight.clone().requires_grad_()
    learned = Topology(graph.edge_index, graph.num_nodes, weight)
    mask = WalkMask(hops=2, sampler=Shells(hops=2))
    assert_close(mask(mask.prepare(learned)).to_dense(), mask(mask.prepare(graph)).to_dense())


def test_shells_and_powers_are_not_mixed() -> None:
    shells = WalkMask(hops=2, sampler=Shells(hops=2))
    with pytest.raises(ValueError, match="same normalisation"):
        shells + WalkMask(hops=2)
    with pytest.raises(ValueError, match="`budget` must be at least 2, got 1"):
        Shells(budget=1)


def test_large_graphs_are_split_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pos = torch.rand(200, 3, generator=seeded())
    graph = Topology(knn_graph(pos, 6), 200)
    whole = Shells(16, hops=4)(graph, seeded())
    monkeypatch.setattr("graphmask.walks.shells._WORK", 1000)
    monkeypatch.setattr("graphmask.walks.shells._ROWS", 30)
    parts = Shells(16, hops=4)(graph, seeded())
    assert_close(parts.to_dense(), whole.to_dense(), rtol=0, atol=0)
    exact = exact_shells(graph, 4)
    total = whole.to_dense().double().sum(2)
    assert bool(((whole.to_dense() > 0) <= (exact > 0)).all())
    # Sizes of shells are close on average.
    assert_close(total.mean(1), exact.sum(2).mean(1), rtol=0.2, atol=0)
