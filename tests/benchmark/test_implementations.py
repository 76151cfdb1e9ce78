from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_networkx, to_undirected

import graphmask as gm
from graphmask.benchmark import IMPLEMENTATIONS, Problem, find_implementations, sphere_graph
from graphmask.benchmark.comparisons import COMPARISONS, find_comparisons, mask_error
from graphmask.benchmark.graphs import SPHERE, ball, read_mesh
from graphmask.benchmark.implementations import Implementation, MaskedAttention, differentiate


def test_a_sphere_graph_joins_nearest_neighbors_both_ways() -> None:
    pos, edge_index = sphere_graph(50, seed=1, neighbours=3)
    distance = torch.cdist(pos, pos).fill_diagonal_(torch.inf)
    source, target = torch.arange(50).repeat_interleave(3), distance.argsort(1)[:, :3].flatten()
    expected = to_undirected(torch.stack([source, target]))
    assert torch.equal(coalesce(edge_index), expected)
    assert edge_index.shape == expected.shape
    torch.testing.assert_close(pos.norm(dim=1), torch.ones(50, dtype=torch.float32))
    assert torch.equal(pos, sphere_graph(50, 1)[0])
    assert not torch.equal(pos, sphere_graph(50, 2)[0])
    assert sphere_graph(4)[1].shape == (2, 12)


def test_wrong_sizes_and_names_raise() -> None:
    for nodes, neighbors in ((1, 6), (10, 0)):
        with pytest.raises(ValueError, match="must be at least"):
            sphere_graph(nodes, neighbours=neighbors)
    for find in (find_implementations, find_comparisons):
        with pytest.raises(ValueError, match=r"must be among .*, got unknown"):
            find(["unknown"])
    pairs = Data(edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]), num_nodes=4)
    with pytest.raises(ValueError, match="`nodes` must be at most 2, as many as are connected"):
        ball(pairs, 3)


@pytest.mark.parametrize("size", [1, 20, 60, 72])
def test_ball_is_the_induced_subgraph_of_the_nearest_nodes(size: int) -> None:
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(8, 9))
    order = np.random.default_rng(0).permutation(72)
    edge_index = to_undirected(torch.from_numpy(order[np.array(grid.edges)]).T, num_nodes=72)
    data = Data(edge_index=edge_index, num_nodes=72)
    pos, edges = ball(data, size)
    subgraph = to_networkx(Data(edge_index=edges, num_nodes=size)).to_undirected()
    assert len(pos) == size
    assert nx.is_connected(subgraph)
    # Node 0 stays the first, and the number of nodes at each distance, but at the border, is kept.
    distance = nx.single_source_shortest_path_length(to_networkx(data).to_undirected(), 0)
    inside = nx.single_source_shortest_path_length(subgraph, 0)
    assert sorted(inside.values()) == sorted(distance.values())[:size]
    if size == 72:
        assert torch.equal(edges, edge_index)


def test_meshes_are_read_and_reordered(tmp_path: Path) -> None:
    faces = np.array([[i, (i + 1) % 30, 30] for i in range(30)])
    np.savez(tmp_path / "cone.npz", vertices=np.random.default_rng(0).random((31, 3)), faces=faces)
    for graph in (*read_mesh(tmp_path / "cone.npz"), *SPHERE):
        problem = graph.make(20, 0, "cpu")
        assert (problem.num_nodes, len(problem.x)) == (20, 20)
        assert problem.edge_index.max() < 20
        assert graph.about
    names = [graph.name for graph in read_mesh(tmp_path / "cone.npz")]
    assert names == ["cone", "cone, reordered"]


COMPARED = [entry for pair in COMPARISONS for entry in (pair.ours, pair.theirs)]
ALL = {entry.name: entry for entry in (*COMPARED, *IMPLEMENTATIONS)}


@pytest.mark.parametrize("implementation", ALL.values(), ids=ALL)
def test_implementations_have_an_output_per_node_and_gradients(
    implementation: Implementation,
) -> None:
    problem = Problem(40)
    work = implementation.build(problem, implementation.prepare(problem))
    gradients = differentiate(work)
    out = work.call()
    assert len(out.reshape(-1, 10 if work.step else 64)) == 40
    assert all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients)
    assert work.step or any(x is not None and x.abs().sum() > 0 for x in gradients)
    assert implementation.about


def test_a_training_step_changes_the_model() -> None:
    problem = Problem(40)
    step = ALL["walk-step"]
    work = step.build(problem, step.prepare(problem))
    with torch.no_grad():
        before = work.call()
        with torch.enable_grad():
            differentiate(work)
        assert not torch.equal(before, work.call())


def test_mask_errors_are_those_of_the_dense_masks() -> None:
    (published,) = find_comparisons(["published"])
    problem = Problem(60)
    # Budgets as large as the graph are exact; independent walks are not.
    assert mask_error(published.ours, problem) < 1e-6
    theirs = published.theirs
    assert isinstance(theirs, MaskedAttention)
    mask, topology = theirs.mask(), theirs.prepare(problem)
    with torch.no_grad():
        exact = mask.target(gm.Topology(problem.edge_index, 60)).to_dense().double()
        expected = (mask(topology).to_dense() - exact).norm() / exact.norm()
    assert mask_error(theirs, problem) == pytest.approx(float(expected), rel=1e-4)
    assert 0.01 < float(expected) < 1
