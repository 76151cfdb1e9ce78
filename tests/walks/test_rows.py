from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense_of, rows_of
from torch import Tensor
from torch.testing import assert_close

from graphmask.walks._rows import (
    Adjacency,
    Rows,
    _multiply_scipy,
    _multiply_torch,
    ranges,
    running_sums,
    sample_product,
)


def matrix(height: int, width: int, density: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(height, width, generator=generator) * (
        torch.rand(height, width, generator=generator) < density
    )


def adjacency_of(dense: Tensor) -> Adjacency:
    return Adjacency.of(*rows_of(dense))


@given(st.integers(0, 6), st.integers(1, 7), st.floats(0, 1), st.integers(0, 99))
def test_both_products_are_the_product(height: int, size: int, density: float, seed: int) -> None:
    left, right = matrix(height, size, density, seed), matrix(size, size, density, seed + 100)
    for multiply in (_multiply_scipy, _multiply_torch):
        product = multiply(rows_of(left), rows_of(right))
        assert_close(dense_of(product, size), left @ right)
        assert product.ptr[-1] == len(product.col) == len(product.weight)


def test_running_sums_start_anew_in_each_row() -> None:
    rows = Rows(torch.tensor([0, 2, 2, 5]), torch.zeros(5), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert running_sums(rows.weight, rows).tolist() == [1, 3, 3, 7, 12]


def test_running_sums_depend_on_no_other_row() -> None:
    counts = torch.tensor([3, 0, 400, 1, 7])
    value = torch.rand(int(counts.sum()), generator=torch.Generator().manual_seed(0)).double()
    value *= torch.tensor([1e-310, 1.0, 1e300, 0.0, 1.0]).double().repeat_interleave(counts)
    rows = Rows(torch.cat([counts.new_zeros(1), counts.cumsum(0)]), torch.zeros_like(value), value)
    together = running_sums(value, rows).split(counts.tolist())
    for part, joint in zip(value.split(counts.tolist()), together, strict=True):
        alone = Rows(torch.tensor([0, len(part)]), torch.zeros_like(part), part)
        assert torch.equal(running_sums(part, alone), joint)
        assert_close(joint, part.cumsum(0), rtol=1e-12, atol=1e-320)


def test_ranges_one_after_the_other() -> None:
    owner, number = ranges(torch.tensor([7, 0, 3]), torch.tensor([2, 0, 3]))
    assert (owner.tolist(), number.tolist()) == ([0, 0, 2, 2, 2], [7, 8, 3, 4, 5])


def test_the_adjacency_falls_in_each_row() -> None:
    dense = matrix(9, 9, 0.6, seed=0)
    W = adjacency_of(dense)
    assert_close(dense_of(W.rows, 9), dense, rtol=0, atol=0)
    assert_close(W.mass, dense.abs().sum(1))
    for row in range(9):
        size = W.rows.weight[W.rows.ptr[row] : W.rows.ptr[row + 1]].abs()
        assert (size.diff() <= 0).all()
        assert_close(W.reach[W.rows.ptr[row] : W.rows.ptr[row + 1]], size.cumsum(0))


def test_a_sampled_product_forms_its_large_terms_and_no_more_terms_than_asked_for(
    generator: torch.Generator,
) -> None:
    left = torch.zeros(1, 300)
    left[0, 0], left[0, 1] = 1.0, -0.01
    right = torch.zeros(300, 300)
    right[0, :3], right[0, 3:100], right[1, 100:] = 5.0, 0.01, 1.0
    for _ in range(20):
        actual = sample_product(
            rows_of(left), adjacency_of(right), 10, torch.rand(1, generator=generator)
        )
        dense = dense_of(actual, 300)[0]
        assert_close(dense[:3], torch.full((3,), 5.0), rtol=0, atol=0)
        assert 10 - 8 <= len(actual.col) <= 10 + 1
        assert (dense[3:100] >= 0).all()
        assert (dense[100:] <= 0).all()
        sizes = dense[3:][dense[3:] != 0].abs()
        assert_close(sizes, torch.full_like(sizes, (15 + 0.97 + 2.0) / 10))


def test_a_product_with_nothing_is_nothing() -> None:
    rows = rows_of(torch.eye(4))
    W = Adjacency.of(rows.ptr, rows.col, torch.zeros(4))
    assert not len(sample_product(rows, W, 3, torch.zeros(4)).col)
