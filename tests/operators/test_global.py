from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology
from graphmask.operators import Dense, GlobalOperator, Lifted
from graphmask.testing import example_topologies

NONE = torch.empty(2, 0, dtype=torch.long)


def test_graphs_do_not_see_each_other() -> None:
    operator = GlobalOperator(Topology(NONE, batch=torch.tensor([1, 0, 1, 3])))
    assert operator.to_dense()[0].tolist() == [
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 1],
    ]
    assert (operator @ torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist() == [[5, 2, 5, 8]]
    assert operator.mT is operator


def test_single_entries() -> None:
    ragged = example_topologies()["ragged"]
    operator = GlobalOperator(ragged)
    assert_close(operator.lookup(ragged.pattern), torch.ones(1, ragged.pattern.nnz))
    one = example_topologies()["ring"]
    assert_close(GlobalOperator(one).lookup(one.pattern), torch.ones(1, 14))


@pytest.mark.parametrize("execution", [None, Lifted(), Lifted(memory=1), Dense()], ids=repr)
@pytest.mark.parametrize("batch", [None, [0, 0, 0], [1, 0, 1], [2, 0, 2]], ids=str)
def test_all_ways_to_sum(
    execution: object, batch: list[int] | None, generator: torch.Generator
) -> None:
    topology = Topology(
        NONE, 3, batch=None if batch is None else torch.tensor(batch), num_graphs=batch and 4
    )
    q, k, v = (torch.rand(2, 3, 4, generator=generator) for _ in range(3))
    operator = GlobalOperator(topology)
    score = operator.to_dense() * (q @ k.mT)
    found = operator.attend(q, k, v, execution)
    assert_close(tuple(found), (score @ v, score.sum(-1)))


def test_a_million_nodes() -> None:
    operator = GlobalOperator(Topology(NONE, 1_000_000))
    x = torch.ones(1, 1_000_000, 2, dtype=torch.float32)
    found = operator.attend(x, x, x)
    assert found.denominator[0, 0] == 2e6
    assert found.numerator.shape == (1, 1_000_000, 2)
