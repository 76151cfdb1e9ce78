from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.kernels import conjugate, solve_resolvent
from graphmask.kernels.conjugate import Graphs, count_iterations
from graphmask.testing import assert_gradients, example_topologies
from graphmask.testing.graphs import batch_topologies


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def path(n: int) -> Topology:
    ends = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    return Topology(torch.cat([ends, ends.flip(0)], 1), n)


def test_derivatives() -> None:
    pattern, weight = example_topologies()["weighted"].adjacency()

    def solve(half: Tensor, a: Tensor, x: Tensor) -> Tensor:
        return solve_resolvent(pattern, half + half[pattern.csc_perm], a, x, 1e-14)

    assert_gradients(solve, weight / 2, torch.tensor([0.7, 0.3]), numbers(2, 13, 2))


@pytest.mark.parametrize("a", [1e-9, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-12])
def test_the_residual_is_within_the_tolerance(a: float, tolerance: float) -> None:
    pattern, weight = path(300).adjacency()
    x = numbers(1, 300, 3)
    y = solve_resolvent(pattern, weight, torch.tensor([a]), x, tolerance)
    residual = x[0] - y[0] + a * (pattern.to_dense(weight) @ y[0])
    assert (residual.norm(dim=0) <= tolerance * x[0].norm(dim=0)).all()


def test_iterations_of_the_bound_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = mock.Mock(side_effect=conjugate.multiply)
    monkeypatch.setattr(conjugate, "multiply", multiply)
    pattern, weight = path(2000).adjacency()
    solve_resolvent(pattern, weight, torch.tensor([0.95]), numbers(1, 2000, 1), 1e-8)
    assert 20 < multiply.call_count <= count_iterations(0.95, 0.5e-8) + 1


def test_graphs_are_solved_by_themselves() -> None:
    """A hard graph beside an easy one does not move it."""
    easy, hard = path(5), path(400)
    batch, (nodes, _) = batch_topologies([easy, hard], interleaved=True)
    x = numbers(1, 405, 4)
    graphs, a = Graphs(batch.batch, 2), torch.tensor([0.99])
    together = solve_resolvent(*batch.adjacency(), a, x, 1e-3, graphs)[:, nodes]
    alone = solve_resolvent(*easy.adjacency(), a, x[:, nodes], 1e-3)
    assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, weight = path(20).adjacency()
    x, a = numbers(2, 20, 11), torch.tensor([0.5, 0.8])
    whole = solve_resolvent(pattern, weight, a, x, 1e-12)
    monkeypatch.setattr(conjugate, "_SLICE", 1)
    assert_close(solve_resolvent(pattern, weight, a, x, 1e-12), whole)


@pytest.mark.parametrize(
    ("a", "tolerance", "message"),
    [
        *((a, 1e-6, "`a` must be between 0 and 1") for a in (1.0, 1.5, -0.5, float("nan"))),
        (0.9, 1e-25, r"`tolerance` must be reachable.*residual.*after \d+ iterations, got 1e-25"),
    ],
)
def test_arguments_without_a_solution_raise(a: float, tolerance: float, message: str) -> None:
    pattern, weight = path(50).adjacency()
    with pytest.raises(ValueError, match=message):
        solve_resolvent(pattern, weight, torch.tensor([a]), numbers(1, 50, 1), tolerance)


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e200, 1e300])
def test_columns_of_any_size(factor: float) -> None:
    pattern, weight = path(20).adjacency()
    a, x = torch.tensor([0.9]), torch.linspace(-1, 2, 60).reshape(1, 20, 3)
    out = solve_resolvent(pattern, weight, a, factor * x, 1e-12)
    assert_close(out / factor, solve_resolvent(pattern, weight, a, x, 1e-12))
