"""Values per hop of the shortest path."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from cases.graphs import normal, path, star
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
    """The value at hop k is k + 1."""
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


def test_hops_do_not_depend_on_weights() -> None:
    for weight in (0.0, -2.0, 7.0):
        assert numbered(1)(path(2, weight)).to_dense().tolist() == [[[1.0, 2.0], [2.0, 1.0]]]


def test_balls_of_hubs_raise_before_they_are_stored() -> None:
    n = 3000
    assert k_hop_balls(star(n), 1, 3 * n).pattern.nnz == 3 * n - 2
    message = r"`max_entries` must be at least the pairs .* got 30000, passed at hop 2"
    with pytest.raises(ValueError, match=message):
        ShortestPathMask(2, max_entries=30_000)(star(n))


def test_rows_are_halved_until_their_work_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = directed()

    def balls() -> tuple[torch.Tensor, ...]:
        result = k_hop_balls(topology, 3, 10**6)
        return result.pattern.rowptr, result.pattern.col, result.hop_table

    expected = balls()
    monkeypatch.setattr("graphmask.masks.shortest_path._WORK", 40)
    monkeypatch.setattr("graphmask.masks.shortest_path._ROWS", 64)
    assert_close(balls(), expected)


def test_softmax_on_balls_is_softmax_with_a_bias_per_hop() -> None:
    topology = example_topologies()["weighted"]
    mask = ShortestPathMask(2, heads=2, alpha=NonNegative)
    mask.alpha.raw.data = normal(2, 3)
    q, k, v = (x.transpose(0, 1) for x in normal(3, topology.num_nodes, 2, 4, seed=1))
    operator = mask(topology)
    bias = operator.to_dense().log()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = features.scores.Exponentials()
    numerator, normaliser, _ = operator.attend(q / 2, k, v, scores=scores)
    assert_close(numerator / normaliser.unsqueeze(-1), expected)


def test_signed_values_run_as_pairs() -> None:
    operator = ShortestPathMask(2)(example_topologies()["ring"])
    assert not operator.nonnegative
    assert operators.Pairs().refusal(operator) is None
    assert operators.Lifted().refusal(operator) is not None
