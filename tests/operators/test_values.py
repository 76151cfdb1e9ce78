"""Operators of one kind: sparse, global, of low rank, power series."""

from __future__ import annotations

import pytest
import torch
from builders import NO_EDGES, seeded
from counting import Written
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology
from graphmask.kernels import Pattern
from graphmask.operators import (
    Entries,
    GlobalOperator,
    LowRankOperator,
    PowerSeriesOperator,
    SparseOperator,
    low_rank,
)
from graphmask.operators.sparse import merge
from graphmask.testing import assert_gradients, example_topologies

CELLS = st.lists(st.integers(0, 11), unique=True).map(sorted)


def entries(cells: list[int], heads: int) -> Entries:
    position = torch.tensor(cells, dtype=torch.long)
    value = torch.randn(heads, len(cells), generator=seeded(len(cells)))
    return Entries(Pattern.from_coo(position // 4, position % 4, (3, 4)), value)


@given(CELLS, CELLS, st.sampled_from([(1, 1), (2, 2), (1, 2), (2, 1)]))
def test_merged_entries_are_the_sum_on_the_union(
    first: list[int], second: list[int], heads: tuple[int, int]
) -> None:
    terms = [entries(first, heads[0]), entries(second, heads[1])]
    merged = merge(terms)
    total = sum(term.pattern.to_dense(term.value) for term in terms)
    assert_close(merged.pattern.to_dense(merged.value), total.expand(max(heads), 3, 4))
    assert merged.pattern.nnz == len(set(first) | set(second))


def test_merging_has_gradients() -> None:
    terms = [entries([0, 5], 1), entries([5, 7], 2)]
    for term in terms:
        term.value.requires_grad_()
    merge(terms).value.sum().backward()
    assert_close(terms[0].value.grad, torch.full((1, 2), 2.0))
    assert_close(terms[1].value.grad, torch.ones(2, 2))


def test_no_entries_are_zero_everywhere() -> None:
    topology, cell = example_topologies()["directed"], torch.arange(13 * 13)
    empty = Pattern.from_coo(cell[:0], cell[:0], (13, 13))
    operator = SparseOperator(topology, empty, torch.ones(1, 0))
    every_cell = Pattern.from_coo(cell // 13, cell % 13, (13, 13))
    assert_close(operator.lookup(every_cell), torch.zeros(1, 169))


def series(topology: Topology, *alpha: float) -> PowerSeriesOperator:
    return PowerSeriesOperator(topology, *topology.adjacency(), torch.tensor([alpha]))


def test_a_power_series_has_entries_up_to_order_one_and_computes_them_once() -> None:
    topology = example_topologies()["weighted"]
    assert series(topology, 1.0, 2.0, 3.0).entries() is None
    for operator in (series(topology, 1.0), series(topology, 1.0, 2.0)):
        assert operator.entries() is operator.entries() is not None


def test_costs_count_multiply_adds() -> None:
    topology = example_topologies()["weighted"]
    assert series(topology, 1.0, 1.0, 1.0, 1.0).cost == 3 * topology.pattern.nnz + 13
    sparse = SparseOperator(topology, topology.pattern, torch.ones(3, topology.pattern.nnz))
    assert sparse.cost == topology.pattern.nnz


def test_a_global_mask_of_a_million_nodes() -> None:
    operator = GlobalOperator(Topology(NO_EDGES, 1_000_000))
    x = torch.ones(1, 1_000_000, 2, dtype=torch.float32)
    sums = operator.attend(x, x, x)
    assert sums.denominator[0, 0] == 2e6
    assert sums.numerator.shape == (1, 1_000_000, 2)


def factors(n: int, rank: int, heads: int = 2) -> list[Tensor]:
    generator = seeded()
    return [torch.rand(heads, n, rank, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("name", ["weighted", "ragged"])
def test_slices_of_low_rank_add_up_to_all_ranks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = example_topologies()[name]
    operator = LowRankOperator(topology, *factors(topology.num_nodes, 2), nonnegative=True)
    q, k, v = torch.rand(3, 2, topology.num_nodes, 4, generator=seeded(1))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        numerator, denominator, _ = operator.attend(q, k, v)
        return torch.cat([numerator, denominator.unsqueeze(-1)], -1)

    sums = attend(q, k, v)
    monkeypatch.setattr(low_rank, "SLICE_MEMORY", 1)
    assert_close(attend(q, k, v), sums)
    assert_gradients(attend, q, k, v)


@pytest.mark.parametrize("batched", [False, True])
def test_work_of_low_rank_is_linear_in_nodes(batched: bool) -> None:
    counts = []
    for n in (1000, 4000):
        batch = torch.arange(n) % 5 if batched else None
        topology = Topology(NO_EDGES, n, batch=batch)
        operator = LowRankOperator(topology, *factors(n, 2), nonnegative=True)
        _ = topology.blocks
        x = torch.ones(2, n, 4)
        with Written() as written:
            operator.attend(x, x, x)
            operator @ x
        counts.append(written.count)
        assert written.largest < 10 * n * 10
    assert counts[1] < 4.1 * counts[0]
