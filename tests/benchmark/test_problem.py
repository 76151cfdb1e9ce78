from __future__ import annotations

import pytest
import torch

from graphmask.benchmark import CONTENDERS, Problem, find_contenders, sphere_graph
from graphmask.benchmark.measure import differentiate


def test_graph_joins_nearest_neighbours_both_ways() -> None:
    pos, edge_index = sphere_graph(50, seed=1, neighbours=3)
    distance = torch.cdist(pos, pos).fill_diagonal_(torch.inf)
    near = distance.argsort(1)[:, :3]
    expected = torch.zeros(50, 50, dtype=torch.bool)
    expected[torch.arange(50).unsqueeze(1), near] = True
    found = torch.zeros(50, 50, dtype=torch.bool)
    found[edge_index[0], edge_index[1]] = True
    assert torch.equal(found, expected | expected.T)
    assert edge_index.shape[1] == int(found.sum())
    torch.testing.assert_close(pos.norm(dim=1), torch.ones(50, dtype=torch.float32))


def test_graph_is_seeded() -> None:
    same, other = (sphere_graph(20, seed)[0] for seed in (3, 4))
    assert torch.equal(same, sphere_graph(20, 3)[0])
    assert not torch.equal(same, other)


def test_graph_of_fewer_nodes_than_neighbours_is_complete() -> None:
    assert sphere_graph(4)[1].shape == (2, 12)


@pytest.mark.parametrize(("nodes", "neighbours"), [(1, 6), (-5, 6), (10, 0)])
def test_graph_refuses_bad_sizes(nodes: int, neighbours: int) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        sphere_graph(nodes, neighbours=neighbours)


def test_problem_is_in_single_precision_whatever_the_default() -> None:
    problem = Problem(32)
    assert {x.dtype for x in (problem.pos, problem.x, *problem.qkv)} == {torch.float32}
    assert all(x.requires_grad for x in (problem.x, *problem.qkv))


def test_names_are_unique() -> None:
    assert len({contender.name for contender in CONTENDERS}) == len(CONTENDERS)


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_contender_has_an_output_per_node_and_gradients(contender) -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        problem = Problem(40)
        work = contender.build(problem, contender.prepare(problem))
        assert work.call().numel() == 40 * 64
        gradients = differentiate(work)
    finally:
        torch.set_default_dtype(default)
    assert all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert contender.about


def test_unknown_contender_is_named() -> None:
    with pytest.raises(ValueError, match=r"`contenders` must be among global, .*, got walks"):
        find_contenders(["walk", "walks"])
