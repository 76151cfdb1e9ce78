from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx, to_undirected

import graphmask as gm
from graphmask.benchmark import IMPLEMENTATIONS, Problem, find_implementations, sphere_graph
from graphmask.benchmark.comparisons import COMPARISONS, find_comparisons, mask_error
from graphmask.benchmark.graphs import SPHERE, ball, read_mesh
from graphmask.benchmark.implementations import Implementation, MaskedAttention, differentiate


def test_sphere_graph_joins_nearest_neighbours_both_ways() -> None:
    pos, edge_index = sphere_graph(50, seed=1, neighbours=3)
    distance = torch.cdist(pos, pos).fill_diagonal_(torch.inf)
    expected = torch.zeros(50, 50, dtype=torch.bool)
    expected[torch.arange(50).unsqueeze(1), distance.argsort(1)[:, :3]] = True
    edges = torch.zeros(50, 50, dtype=torch.bool)
    edges[edge_index[0], edge_index[1]] = True
    assert torch.equal(edges, expected | expected.T)
    assert edge_index.shape[1] == int(edges.sum())
    torch.testing.assert_close(pos.norm(dim=1), torch.ones(50, dtype=torch.float32))
    assert torch.equal(pos, sphere_graph(50, 1)[0])
    assert not torch.equal(pos, sphere_graph(50, 2)[0])
    assert sphere_graph(4)[1].shape == (2, 12)


@pytest.mark.parametrize(("nodes", "neighbours"), [(1, 6), (-5, 6), (10, 0)])
def test_sphere_graph_refuses_bad_sizes(nodes: int, neighbours: int) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        sphere_graph(nodes, neighbours=neighbours)


@pytest.mark.parametrize("size", [1, 20, 60, 72])
def test_ball_is_the_induced_subgraph_of_the_nearest_nodes(size: int) -> None:
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(8, 9))
    order = np.random.default_rng(0).permutation(72)
    edge_index = to_undirected(torch.from_numpy(order[np.array(grid.edges)]).T, num_nodes=72)
    whole = Data(edge_index=edge_index, num_nodes=72)
    pos, inside = ball(whole, size)
    part = to_networkx(Data(edge_index=inside, num_nodes=size)).to_undirected()
    assert len(pos) == size
    assert nx.is_connected(part)
    # Node 0 stays the first, and the numbers of nodes at each distance from it stay, but at the
    # border.
    distance = nx.single_source_shortest_path_length(to_networkx(whole).to_undirected(), 0)
    kept = sorted(nx.single_source_shortest_path_length(part, 0).values())
    assert kept == sorted(distance.values())[:size]
    if size == 72:
        assert torch.equal(inside, edge_index)


def test_ball_of_more_than_is_connected_is_refused() -> None:
    pairs = Data(edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]), num_nodes=4)
    with pytest.raises(ValueError, match="`nodes` must be at most 2, as many as are connected"):
        ball(pairs, 3)


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


def everyone() -> dict[str, Implementation]:
    compared = [each for pair in COMPARISONS for each in (pair.ours, pair.theirs)]
    return {each.name: each for each in (*compared, *IMPLEMENTATIONS)}


@pytest.mark.parametrize("implementation", everyone().values(), ids=lambda each: each.name)
def test_implementations_have_an_output_per_node_and_gradients(
    implementation: Implementation,
) -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        problem = Problem(40)
        work = implementation.build(problem, implementation.prepare(problem))
        gradients = differentiate(work)
        out = work.call()
    finally:
        torch.set_default_dtype(default)
    assert len(out.reshape(-1, 10 if work.step else 64)) == 40
    assert all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients)
    assert work.step or any(x is not None and x.abs().sum() > 0 for x in gradients)
    assert implementation.about


def test_a_training_step_changes_the_model() -> None:
    problem = Problem(40)
    step = everyone()["walk-step"]
    work = step.build(problem, step.prepare(problem))
    with torch.no_grad():
        before = work.call()
        with torch.enable_grad():
            differentiate(work)
        assert not torch.equal(before, work.call())


@pytest.mark.parametrize(
    ("find", "name"), [(find_implementations, "walks"), (find_comparisons, "x")]
)
def test_unknown_names_are_refused(find, name: str) -> None:
    with pytest.raises(ValueError, match=rf"must be among .*, got {name}"):
        find([name])


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
