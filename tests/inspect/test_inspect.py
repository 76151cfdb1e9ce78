"""Summaries of graphs are true, and costs and recommendations follow from them."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch_geometric.data import Data

import graphmask as gm
from graphmask.inspect import GraphSummary, mask_costs, recommend, summarize_graph
from graphmask.inspect.costs import mask_options
from graphmask.testing import example_topologies

NO_EDGES = torch.empty(2, 0, dtype=torch.long)


def both_ways(*pairs: tuple[int, int]) -> torch.Tensor:
    return torch.tensor([*pairs, *((b, a) for a, b in pairs)]).T


def ring(num_nodes: int) -> torch.Tensor:
    return both_ways(*((node, (node + 1) % num_nodes) for node in range(num_nodes)))


PATH = Data(edge_index=both_ways(*((node, node + 1) for node in range(8))), num_nodes=9)
GRID_EDGES = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4)).edges
GRID = Data(edge_index=both_ways(*GRID_EDGES), num_nodes=12)
TREE = Data(edge_index=both_ways(*((node, (node - 1) // 2) for node in range(1, 50))), num_nodes=50)
STAR = Data(edge_index=both_ways(*((0, leaf) for leaf in range(1, 900))), num_nodes=900)


def test_counts() -> None:
    edge_index = torch.tensor([[0, 1, 1, 2, 1, 3], [1, 0, 2, 1, 2, 3]])
    weight = torch.tensor([1.0, 1, 2, 4, 2, -1])
    summary = summarize_graph(Data(edge_index=edge_index, edge_weight=weight, num_nodes=6))
    assert (summary.num_nodes, summary.num_edges) == (6, 6)
    assert (summary.self_loops, summary.multi_edges, summary.degrees) == (1, 1, (0, 1.0, 2))
    assert (summary.isolated, summary.components, summary.largest_component) == (2, 4, 3)
    assert summary.weights == (-1.0, 4.0)
    assert summary.has_negative_weights
    assert not summary.directed  # the repeated edge weighs 2 + 2, as much as its reverse
    assert "1 self-loops, 1 repeated" in summary.rows()["edges"]


def test_directions() -> None:
    one_way = torch.tensor([[0, 1, 1, 2, 1], [1, 0, 2, 1, 2]])
    for edge_index, directed in ((one_way, True), (NO_EDGES, False), (ring(3), False)):
        summary = summarize_graph(Data(edge_index=edge_index, num_nodes=3))
        assert summary.directed == directed


def test_structure() -> None:
    assert summarize_graph(PATH).is_path
    assert summarize_graph(GRID).shape == (3, 4)
    assert summarize_graph(TREE).is_forest
    assert summarize_graph(STAR).has_hubs
    empty = summarize_graph(Data(edge_index=NO_EDGES, num_nodes=0))
    assert (empty.components, empty.degrees) == (0, (0, 0.0, 0))
    # Masks on grids go by the order of the nodes: a permuted grid is none.
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert summarize_graph(Data(edge_index=order[GRID.edge_index], num_nodes=12)).shape is None


def test_the_main_recommendation() -> None:
    for data, action, reason in (
        (PATH, "CausalMask", "sequence"),
        (GRID, "ToeplitzMask((3, 4))", "grid"),
        (TREE, "TreeDistanceMask()", "forest"),
        (Data(edge_index=ring(60), num_nodes=60), "PowerSeriesMask", "60 nodes are few"),
        (Data(edge_index=ring(600), num_nodes=600), "(budget=64)", "64 stored pairs"),
        (Data(edge_index=NO_EDGES, num_nodes=5), "KNNGraph", "no edges"),
    ):
        first, why = next(iter(recommend(summarize_graph(data)).items()))
        assert action in first
        assert reason in why


def test_further_recommendations_name_what_is_special() -> None:
    edge_index = ring(600)

    def text(made_edges: bool = False, **attributes: object) -> str:
        data = Data(**{"edge_index": edge_index, "num_nodes": 600, **attributes})
        items = recommend(summarize_graph(data, made_edges))
        return " ".join(f"{action}: {reason}" for action, reason in items.items())

    assert "directions" not in text()
    assert "edges have directions" in text(edge_index=edge_index[:, :-1])
    assert "weights are negative" in text(edge_weight=-torch.ones(edge_index.shape[1]))
    assert "the file has no edges" in text(made_edges=True)
    assert "SeparatorMask" in text(face=torch.tensor([[0], [1], [2]]))
    assert "3 components" in text(num_nodes=602)
    assert "2 nodes have no edge" in text(num_nodes=602)


def costs(data: Data, **options: object) -> dict[str, gm.inspect.MaskCost]:
    topology = gm.Topology.from_data(data)
    return {cost.name: cost for cost in mask_costs(summarize_graph(data), topology, **options)}


def test_masks_that_do_not_apply_have_a_reason_and_others_apply() -> None:
    result = costs(Data(edge_index=ring(9), num_nodes=9))
    assert result["walk"].reason == ""
    assert "cycles" in result["tree-distance"].reason
    assert "no grid" in result["toeplitz"].reason
    cloud = Data(edge_index=ring(16), pos=torch.rand(16, 3))
    for data in (cloud, PATH, GRID, TREE):
        topology = gm.Topology.from_data(data)
        for mask in mask_options(summarize_graph(data)).values():
            if not isinstance(mask, str):
                assert mask(mask.prepare(topology)).num_nodes == data.num_nodes


def test_pairs_of_walks_are_those_of_a_draw() -> None:
    topology = example_topologies()["weighted"]
    data = Data(edge_index=topology.edge_index, num_nodes=topology.num_nodes)
    found = costs(data, names=("walk", "grf", "global"))
    for name, mask in mask_options(summarize_graph(data)).items():
        if name in ("walk", "grf"):
            sets = mask.prepare(gm.Topology.from_data(data)).walk_sets
            pairs = sum(walks.pattern.nnz for walks in sets) / data.num_nodes
            assert found[name].pairs == pytest.approx(pairs, rel=0.1)
    assert found["global"].pairs is None


def test_measured_costs() -> None:
    found = costs(PATH, names=("walk", "toeplitz", "rfd"), measure=True, threads=1)
    mask = gm.masks.WalkMask(hops=8)
    assert found["walk"].multiply_adds == mask(mask.prepare(gm.Topology.from_data(PATH))).cost
    assert found["walk"].call_seconds > 0
    assert found["toeplitz"].prepare_seconds > 0
    assert found["rfd"].call_seconds is None
    with pytest.raises(ValueError, match="`names` must be among global, walk"):
        costs(PATH, names=("wlak",))


def test_masks_that_cannot_be_called_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_error(*_: object) -> None:
        raise ValueError("no execution knows the absolute values")

    monkeypatch.setattr("graphmask.inspect.costs.attention", raise_error)
    found = costs(PATH, names=("walk",), measure=True)["walk"]
    assert (found.reason, found.call_seconds) == ("no execution knows the absolute values", None)


def test_old_names_warn() -> None:
    from graphmask import facts

    assert facts.GraphFacts is GraphSummary
    with pytest.warns(DeprecationWarning, match="use `summarize_graph`"):
        summary = facts.describe_graph(PATH)
    with pytest.warns(DeprecationWarning, match="use `recommend`"):
        assert facts.advise(summary) == recommend(summary)
