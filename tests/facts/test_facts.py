"""What is told of a graph is true of it; what is advised follows.

What is estimated is near what is measured.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphmask as gm
from graphmask.benchmark import sphere_graph
from graphmask.benchmark.families.grounds import grid, sequence, tree
from graphmask.facts import GraphFacts, advise, describe_graph, estimate
from graphmask.facts.candidates import Candidate, find_candidates
from graphmask.facts.estimates import amount, read_line
from graphmask.facts.probes import probe_balls, probe_walks
from graphmask.facts.samples import Sample, search


def data_of(topology: gm.Topology, **facts: object) -> Data:
    return Data(edge_index=topology.edge_index, num_nodes=topology.num_nodes, **facts)


def facts_of(edges: list[tuple[int, int]], num_nodes: int, **facts: object) -> GraphFacts:
    return describe_graph(
        Data(
            edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T,
            num_nodes=num_nodes,
            **facts,
        )
    )


def test_counts_by_hand() -> None:
    edges = [(0, 1), (1, 0), (1, 2), (2, 1), (1, 2), (3, 3)]
    facts = facts_of(edges, 6, edge_weight=torch.tensor([1.0, 1, 2, 4, 2, -1]))
    assert (facts.num_nodes, facts.num_edges, facts.self_loops, facts.multi_edges) == (6, 6, 1, 1)
    assert facts.degrees == (0, 1.0, 2)
    assert (facts.isolated, facts.components, facts.largest_component) == (2, 4, 3)
    assert facts.weights == (-1.0, 4.0)
    assert facts.has_negative_weights
    assert not facts.directed  # the repeated edge weighs 2 + 2, as much as its opposite
    assert facts_of(edges, 6).directed
    assert facts_of([(0, 1)], 2).directed
    assert not facts_of([], 3).directed
    assert "1 self-loops, 1 repeated" in facts.rows()["edges"]


def test_kinds_are_recognised() -> None:
    assert describe_graph(data_of(sequence(9, 0))).is_path
    assert describe_graph(data_of(grid(12, 0))).shape == (3, 4)
    assert describe_graph(data_of(tree(50, 0))).is_forest
    pos, edge_index = sphere_graph(60)
    sphere = describe_graph(Data(edge_index=edge_index, pos=pos))
    assert (sphere.shape, sphere.is_forest, sphere.axes) == (None, False, 3)
    # A grid whose nodes come in another order is none for masks, which go by the order.
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert (
        describe_graph(Data(edge_index=order[grid(12, 0).edge_index], num_nodes=12)).shape is None
    )
    star = facts_of([pair for leaf in range(1, 900) for pair in ((0, leaf), (leaf, 0))], 900)
    assert star.has_hubs
    assert star.is_forest


@pytest.mark.parametrize(
    ("data", "what", "why"),
    [
        (data_of(sequence(9, 0)), "CausalMask", "sequence"),
        (data_of(grid(12, 0)), "ToeplitzMask((3, 4))", "grid"),
        (data_of(tree(50, 0)), "TreeDistanceMask()", "forest"),
        (Data(edge_index=sphere_graph(60)[1], num_nodes=60), "PowerSeriesMask", "60 nodes are few"),
        (
            Data(edge_index=sphere_graph(600)[1], num_nodes=600),
            "ResampledWalks(budget=64)",
            "64 stored pairs",
        ),
        (Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=5), "KNNGraph", "no edges"),
    ],
)
def test_the_main_advice_follows_from_the_kind(data: Data, what: str, why: str) -> None:
    main = advise(describe_graph(data))[0]
    assert what in main.what
    assert why in main.why


def test_the_rest_of_the_advice_names_what_is_special() -> None:
    pos, edge_index = sphere_graph(600)
    plain = Data(edge_index=edge_index, pos=pos)

    def said(data: Data, made_edges: bool = False) -> str:
        return " ".join(
            f"{each.what}: {each.why}" for each in advise(describe_graph(data, made_edges))
        )

    assert "directions" not in said(plain)
    assert "edges have directions" in said(Data(edge_index=edge_index[:, :-1], pos=pos))
    assert "weights are negative" in said(
        Data(edge_index=edge_index, edge_weight=-torch.ones(edge_index.shape[1]), pos=pos)
    )
    assert "the file has no edges" in said(plain, made_edges=True)
    apart = Data(edge_index=edge_index, num_nodes=602)
    assert "3 components" in said(apart)
    assert "2 nodes have no edge" in said(apart)


def test_masks_that_do_not_serve_are_told_with_the_reason() -> None:
    pos, edge_index = sphere_graph(60)
    refused = {
        each.name: each.refusal
        for each in find_candidates(describe_graph(Data(edge_index=edge_index, pos=pos)))
    }
    assert refused["walk"] is None
    assert refused["rfd"] is None
    assert "cycles" in str(refused["tree-distance"])
    assert "no grid" in str(refused["toeplitz"])
    # Those that are not refused do serve: each is made, prepared and built.
    for data in (
        Data(edge_index=edge_index, pos=pos),
        data_of(sequence(16, 0)),
        data_of(grid(16, 0)),
        data_of(tree(50, 0)),
    ):
        topology = gm.Topology.from_data(data)
        for each in find_candidates(describe_graph(data)):
            if each.refusal is None:
                mask = each.make()
                assert mask(mask.prepare(topology)).num_nodes == data.num_nodes


def test_searches_meet_all_nodes_near_ones_first() -> None:
    path = sequence(50, 0)
    assert search(path).tolist() == list(range(50))
    apart = gm.Topology(torch.tensor([[0, 2], [2, 4]]), 6)
    assert search(apart).tolist() == [0, 2, 4, 1, 3, 5]


def test_samples_are_subgraphs_in_the_old_order() -> None:
    pos, edge_index = sphere_graph(200)
    weight = torch.rand(edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    topology = gm.Topology(edge_index, 200, weight, pos=pos)
    order = search(topology)
    sample = Sample(
        "global", gm.masks.GlobalMask, order, edge_index.numpy(), weight.numpy(), pos.numpy()[order]
    )
    part = sample.pose(50, 0, "cpu").topology  # type: ignore[attr-defined]
    kept = torch.from_numpy(np.sort(order[:50]))
    dense = torch.zeros(200, 200)
    dense[edge_index[1], edge_index[0]] = weight
    pattern, value = part.adjacency(None)
    assert torch.allclose(pattern.to_dense(value), dense[kept][:, kept])
    assert torch.equal(part.pos, pos[kept])


def test_probes_count_on_the_whole_graph() -> None:
    ring = torch.stack([torch.arange(3000), (torch.arange(3000) + 1) % 3000])
    topology = gm.Topology(torch.cat([ring, ring.flip(0)], 1), 3000)
    assert probe_balls(topology, 3) == 7
    mask = gm.masks.GRFMask(hops=2, sampler=gm.walks.ResampledWalks(budget=16, hops=2))
    entries, seconds = probe_walks(mask, topology)
    assert entries == 2 * 5  # two sets, and five nodes within two hops
    assert seconds > 0


def test_lines_through_two_measurements() -> None:
    assert read_line([1.0, 2.0], [3.0, 4.0], 10.0) == pytest.approx(12.0)
    assert read_line([1.0, 2.0], [1.0, 4.0], 10.0) == pytest.approx(
        20.0
    )  # a fixed cost below zero: in proportion
    assert amount("N log N", 1024, 0, None) == 10240


def test_small_graphs_are_measured_whole_and_refusals_passed_on() -> None:
    pos, edge_index = sphere_graph(100)
    topology = gm.Topology(edge_index, 100, pos=pos)
    candidates = [
        Candidate("walk", gm.masks.WalkMask, "N p"),
        Candidate("toeplitz", gm.masks.GlobalMask, "N", "no grid"),
    ]
    walk, toeplitz = estimate(candidates, topology, threads=1)
    assert walk.measured
    assert walk.seconds > 0
    assert walk.peak >= 0
    assert walk.prepare > 0
    mask = gm.masks.WalkMask()
    assert walk.entries == pytest.approx(
        mask.prepare(topology).walk_sets[0].pattern.nnz / 100, rel=0.1
    )
    assert math.isnan(toeplitz.seconds)
    assert toeplitz.reason == "no grid"


def test_larger_graphs_are_estimated_from_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmask.facts.estimates.SIZES", (64, 256))
    pos, edge_index = sphere_graph(1000)
    topology = gm.Topology(edge_index, 1000, pos=pos)
    (walk,) = estimate([Candidate("walk", gm.masks.WalkMask, "N p")], topology, threads=1)
    assert not walk.measured
    exact = gm.masks.WalkMask().prepare(topology).walk_sets[0].pattern.nnz / 1000
    assert walk.entries == pytest.approx(exact, rel=0.1)
    assert walk.seconds > 0
    assert walk.peak > 0
