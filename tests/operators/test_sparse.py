from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from graphmask.kernels import Pattern
from graphmask.operators import Entries, SparseOperator
from graphmask.operators.sparse import merge
from graphmask.testing import example_topologies

CELLS = st.lists(st.integers(0, 11), unique=True).map(sorted)


def entries(cells: list[int], heads: int) -> Entries:
    position = torch.tensor(cells, dtype=torch.long)
    value = torch.randn(heads, len(cells), generator=torch.Generator().manual_seed(len(cells)))
    return Entries(Pattern.from_coo(position // 4, position % 4, (3, 4)), value)


@given(CELLS, CELLS, st.sampled_from([(1, 1), (2, 2), (1, 2), (2, 1)]))
def test_merged_entries_are_the_sum_on_the_union(
    first: list[int], second: list[int], heads: tuple[int, int]
) -> None:
    parts = [entries(first, heads[0]), entries(second, heads[1])]
    merged = merge(parts)
    total = sum(part.pattern.to_dense(part.value) for part in parts)
    assert_close(merged.pattern.to_dense(merged.value), total.expand(max(heads), 3, 4))
    assert merged.pattern.nnz == len(set(first) | set(second))


def test_merging_has_gradients() -> None:
    parts = [entries([0, 5], 1), entries([5, 7], 2)]
    for part in parts:
        part.value.requires_grad_()
    merge(parts).value.sum().backward()
    assert_close(parts[0].value.grad, torch.full((1, 2), 2.0))
    assert_close(parts[1].value.grad, torch.ones(2, 2))


def test_single_entries_are_zero_outside_the_support() -> None:
    topology = example_topologies()["directed"]
    value = torch.arange(1.0, topology.pattern.nnz + 1).unsqueeze(0)
    operator = SparseOperator(topology, topology.pattern, value)
    everywhere = torch.arange(13 * 13)
    full = Pattern.from_coo(everywhere // 13, everywhere % 13, (13, 13))
    assert_close(operator.lookup(full).reshape(1, 13, 13), operator.to_dense())
    none = SparseOperator(
        topology, Pattern.from_coo(everywhere[:0], everywhere[:0], (13, 13)), value[:, :0]
    )
    assert_close(none.lookup(full), torch.zeros(1, 169))


def test_the_cost_is_the_number_of_entries() -> None:
    topology = example_topologies()["weighted"]
    operator = SparseOperator(topology, topology.pattern, torch.ones(3, topology.pattern.nnz))
    assert operator.cost == topology.pattern.nnz
