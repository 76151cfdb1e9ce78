from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.operators import PowerSeriesOperator
from graphmask.testing import assert_gradients, example_topologies


def series(topology: Topology, *alpha: float) -> PowerSeriesOperator:
    return PowerSeriesOperator(
        topology, *topology.adjacency(), torch.tensor([alpha], dtype=torch.float64)
    )


@pytest.mark.parametrize("hops", [0, 1, 2, 5])
@pytest.mark.parametrize("name", ["directed", "signed", "multigraph", "empty"])
def test_one_coefficient_is_one_power(name: str, hops: int) -> None:
    topology = example_topologies()[name]
    W = reference.adjacency(topology.edge_index, topology.num_nodes, topology.edge_weight)
    operator = series(topology, *[0.0] * hops, 2.0)
    power = 2 * reference.walk_powers(W, hops)[-1:]
    assert_close(operator.to_dense(), power)
    assert_close(operator @ torch.eye(topology.num_nodes), power)
    assert_close(operator.mT @ torch.eye(topology.num_nodes), power.mT)


@pytest.mark.parametrize(("order", "known"), [(0, True), (1, True), (2, False)])
def test_entries_are_known_up_to_order_one(order: int, known: bool) -> None:
    operator = series(example_topologies()["weighted"], *range(1, order + 2))
    assert (operator.entries() is not None) == known
    if known:
        assert_close(
            operator.entries().pattern.to_dense(operator.entries().value), operator.to_dense()
        )


def test_derivatives_by_everything(generator: torch.Generator) -> None:
    topology = example_topologies()["directed"]
    pattern, weight = topology.adjacency()

    def product(alpha: torch.Tensor, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return PowerSeriesOperator(topology, pattern, weight, alpha) @ x

    assert_gradients(
        product,
        torch.randn(2, 4, generator=generator),
        weight,
        torch.randn(13, 2, generator=generator),
    )


def test_the_cost_counts_hops_and_entries() -> None:
    topology = example_topologies()["weighted"]
    assert series(topology, 1, 1, 1, 1).cost == 3 * topology.pattern.nnz + 13
