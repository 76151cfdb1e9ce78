from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from graphmask import reference
from graphmask.benchmark.estimators import ESTIMATORS, GRAPHS, KERNELS
from graphmask.benchmark.estimators.exact import (
    Rows,
    adjacency,
    estimated_rows,
    exact_rows,
    stored_entries,
)
from graphmask.operators import GlobalOperator
from graphmask.topology import Topology

KARATE = next(graph for graph in GRAPHS if graph.name == "karate").make(0)


@pytest.fixture
def W() -> torch.Tensor:
    return reference.adjacency(KARATE.edge_index, KARATE.num_nodes)


def test_adjacency_is_that_of_the_reference(W: torch.Tensor) -> None:
    np.testing.assert_allclose(adjacency(KARATE).toarray(), W, atol=1e-15)


def test_adjacency_of_isolated_nodes_is_zero() -> None:
    assert not adjacency(Topology(torch.tensor([[0, 1], [1, 0]]), 3)).toarray()[2].any()


def test_exact_rows_are_those_of_the_power_series(
    W: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphmask.benchmark.estimators.exact._ROWS", 2)
    rows, series = (
        np.array([30, 0, 7, 7, 12]),
        np.array([[1.0, -2.0, 0.0, 3.0], [0.5, 0.25, 0.125, 0.0]]),
    )
    found = exact_rows(adjacency(KARATE), rows, series)
    expected = reference.power_series(W, torch.from_numpy(series))
    assert len(found) == 2
    for each, dense in zip(found, expected, strict=True):
        np.testing.assert_allclose(each.toarray(), dense[rows], atol=1e-15)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_estimated_rows_are_those_of_the_mask(estimator) -> None:
    sampler = estimator.family.make(4, 4)
    mask = estimator.mask(KERNELS[1].alpha, sampler)
    operator = mask(mask.prepare(KARATE))
    rows = np.array([3, 33])
    np.testing.assert_allclose(
        estimated_rows(operator, rows).toarray(), operator.to_dense()[0, rows].detach(), atol=1e-6
    )


def test_stored_entries_are_those_of_one_factor() -> None:
    estimators = {estimator.name: estimator for estimator in ESTIMATORS}
    for name in ("iid", "iid-symmetric", "stitched"):
        mask = estimators[name].mask(KERNELS[1].alpha, estimators[name].family.make(4, 4))
        topology = mask.prepare(KARATE)
        sets = topology.walk_sets
        assert (
            stored_entries(mask(topology))
            == sum(walks.pattern.nnz for walks in sets) / len(sets) / KARATE.num_nodes
        )


def test_operators_without_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="of sparse entries"):
        estimated_rows(GlobalOperator(KARATE), np.array([0]))


def test_errors_are_relative_and_apart() -> None:
    target = csr_array(np.array([[3.0, 4.0, 0.0], [0.0, 12.0, 5.0]]))
    estimate = csr_array(np.array([[3.0, 1.0, 4.0], [0.0, 0.0, 5.0]]))
    # Rows 2 and 1: the diagonal is at columns 2 and 1, of 0 and 12 where 4 and 0 were estimated.
    errors = Rows(target, np.array([2, 1])).errors(estimate)
    assert errors.error == pytest.approx(np.sqrt((9 + 16 + 144) / (9 + 16 + 144 + 25)))
    assert errors.off_diagonal == pytest.approx(np.sqrt(9 / (9 + 16 + 25)))
    assert errors.diagonal == pytest.approx(np.sqrt((16 + 144) / 144))


def test_small_errors_of_one_kind_survive_large_ones_of_the_other() -> None:
    target, estimate = csr_array(np.array([[1.0, 1.0]])), csr_array(np.array([[3.0, 1.0 + 1e-9]]))
    assert Rows(target, np.array([0])).errors(estimate).off_diagonal == pytest.approx(
        1e-9, rel=1e-4
    )


def test_nothing_of_nothing_is_no_error() -> None:
    assert Rows(csr_array((1, 2)), np.array([0])).errors(csr_array((1, 2))) == (0, 0, 0)
