"""Values per hop of the shortest path."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch.testing import assert_close

import graphmask as gm
from graphmask import features, operators
from graphmask.masks import NonNegative, ShortestPathMask
from graphmask.masks.shortest_path import k_hop_balls
from graphmask.testing import example_topologies


def directed(n: int = 200, e: int = 500) -> gm.Topology:
    edges = torch.randint(n, (2, e), generator=torch.Generator().manual_seed(0))
    return gm.Topology(torch.cat([edges, edges[:, :50], torch.arange(20).expand(2, -1)], 1), n)


def numbered(hops: int) -> ShortestPathMask:
    """The value of a hop is one more than it."""
    mask = ShortestPathMask(hops)
    mask.alpha.value.data = torch.arange(1.0, hops + 2)[None]
    return mask


@pytest.mark.parametrize("hops", [0, 1, 3, 30])
def test_hops_are_those_of_networkx(hops: int) -> None:
    topology = directed()
    graph = nx.MultiDiGraph(topology.edge_index.mT.tolist())
    graph.add_nodes_from(range(topology.num_nodes))
    expected = torch.zeros(topology.num_nodes, topology.num_nodes)
    for source, lengths in nx.all_pairs_shortest_path_length(graph, cutoff=hops):
        for target, length in lengths.items():
            expected[target, source] = length + 1
    assert_close(numbered(hops)(topology).to_dense()[0], expected)


def test_edges_count_whatever_their_weight() -> None:
    pair = torch.tensor([[0, 1], [1, 0]])
    for weight in (0.0, -2.0, 7.0):
        dense = numbered(1)(gm.Topology(pair, 2, torch.full((2,), weight))).to_dense()
        assert dense.tolist() == [[[1.0, 2.0], [2.0, 1.0]]]


def test_hubs_are_refused_before_their_balls_are_stored() -> None:
    n = 3000
    spokes = torch.stack([torch.zeros(n - 1, dtype=torch.long), torch.arange(1, n)])
    star = gm.Topology(torch.cat([spokes, spokes.flip(0)], 1), n)
    assert k_hop_balls(star, 1, 3 * n).pattern.nnz == 3 * n - 2
    with pytest.raises(
        ValueError, match=r"`max_entries` must be at least the pairs .* got 30000, passed at hop 2"
    ):
        ShortestPathMask(2, max_entries=30_000)(star)


def test_rows_are_halved_until_their_work_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = directed()
    whole = k_hop_balls(topology, 3, 10**6)
    monkeypatch.setattr("graphmask.masks.shortest_path._WORK", 40)
    monkeypatch.setattr("graphmask.masks.shortest_path._ROWS", 64)
    halved = k_hop_balls(topology, 3, 10**6)
    assert_close(
        (halved.pattern.rowptr, halved.pattern.col, halved.hop_table),
        (whole.pattern.rowptr, whole.pattern.col, whole.hop_table),
    )


def test_softmax_on_balls_is_softmax_with_a_bias_per_hop() -> None:
    topology = example_topologies()["weighted"]
    mask = ShortestPathMask(2, heads=2, alpha=NonNegative)
    mask.alpha.raw.data = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    q, k, v = torch.randn(3, topology.num_nodes, 2, 4, generator=torch.Generator().manual_seed(1))
    operator = mask(topology)
    bias = operator.to_dense().log()
    expected = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), attn_mask=bias
    ).transpose(0, 1)
    mapped = [x.transpose(0, 1) for x in (q / 2, k, v)]
    numerator, normaliser = operator.attend(*mapped, scores=features.scores.Exponentials())
    assert_close((numerator / normaliser.unsqueeze(-1)).transpose(0, 1), expected)


def test_signed_values_run_as_pairs() -> None:
    operator = ShortestPathMask(2)(example_topologies()["ring"])
    assert not operator.nonnegative
    assert operators.Pairs().refusal(operator) is None
    assert operators.Lifted().refusal(operator) is not None
