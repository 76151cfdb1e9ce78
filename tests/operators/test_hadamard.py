from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from counting import Written
from torch.testing import assert_close

from graphmask import Topology
from graphmask.masks import Free, PowerSeriesMask
from graphmask.operators import (
    GlobalOperator,
    HadamardOperator,
    LowRankOperator,
    MaskOperator,
    ScaledOperator,
    SparseOperator,
)
from graphmask.operators import hadamard as module
from graphmask.testing import example_topologies

NONE = torch.empty(2, 0, dtype=torch.long)


def ring() -> Topology:
    return example_topologies()["ring"]


def series(order: int = 3) -> MaskOperator:
    return PowerSeriesMask(order)(ring())


def low_rank(rank: int = 1, heads: int = 1) -> LowRankOperator:
    factor = torch.rand(heads, 7, rank, generator=torch.Generator().manual_seed(0))
    return LowRankOperator(ring(), factor, factor.flip(1), nonnegative=True)


def identity() -> SparseOperator:
    return SparseOperator(
        ring(), ring().pattern.identity, torch.arange(7.0).unsqueeze(0), nonnegative=True
    )


def test_numbers_still_scale() -> None:
    assert isinstance(2 * low_rank(), ScaledOperator)
    assert isinstance(low_rank() * torch.tensor(2.0), ScaledOperator)
    with pytest.raises(TypeError):
        low_rank() * "2"  # type: ignore[operator]


def test_ones_leave_the_other_mask() -> None:
    other = series()
    assert other * GlobalOperator(ring()) is other
    assert GlobalOperator(ring()) * other is other


def test_a_diagonal_mask_picks_the_diagonal() -> None:
    found = identity() * low_rank(3)
    assert isinstance(found, SparseOperator)
    assert found.nonnegative
    assert_close(
        found.to_dense()[0], torch.diag(torch.arange(7.0) * low_rank(3).to_dense()[0].diagonal())
    )


def test_the_smaller_support_and_the_smaller_rank_lead() -> None:
    walks = SparseOperator(ring(), ring().pattern, torch.ones(1, 14))
    assert (walks * identity()).entries().pattern.nnz == 7
    product = low_rank(3) * low_rank(2)
    assert isinstance(product, HadamardOperator)
    assert product.factor.rank == 2


def test_a_sparse_mask_without_lookup_is_looked_up_by_its_entries() -> None:
    first, second = series(1), identity()
    assert first.lookup(ring().pattern) is None
    assert_close((first * second).to_dense(), first.to_dense() * second.to_dense())


def test_signs() -> None:
    """|M_ij B_ij| = |M_ij| B_ij for a non-negative B.

    Both sums are those of M with more features.
    """
    mask = GlobalOperator(ring()) + -2.0 * SparseOperator(ring(), ring().pattern, torch.ones(1, 14))
    found = module.HadamardOperator(mask, low_rank(2))
    assert not found.sums_itself
    q = torch.rand(1, 7, 2, generator=torch.Generator().manual_seed(1))
    numerator, normaliser = found.attend(q, q, q)
    score = found.to_dense() * (q @ q.mT)
    assert_close(numerator, score @ q)
    assert_close(normaliser, score.abs().sum(-1))


def test_slices_add_up_to_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    product, x = (
        series() * low_rank(4),
        torch.rand(1, 7, 3, generator=torch.Generator().manual_seed(2)),
    )
    whole = product @ x
    monkeypatch.setattr(module, "SLICE_MEMORY", 1)
    assert_close(product @ x, whole)
    x.requires_grad_()
    assert_close(
        torch.autograd.grad((product @ x).sum(), x)[0],
        (product.to_dense().sum(1, keepdim=True)).mT.expand_as(x),
    )


def test_rank_times_the_work_of_the_other_mask() -> None:
    assert (series() * low_rank(3)).cost == 3 * series().cost
    counts = []
    for rank in (2, 8):
        with Written() as written:
            series() * low_rank(rank) @ torch.ones(7, 3)
        counts.append(written.count)
    assert counts[1] < 4.1 * counts[0]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (
        lambda: series() * series(),
        "`a [*] b` must be of a mask of low rank, or of a sparse mask.*not sparse, single",
    ),
    (
        lambda: series() * identity(),
        r"PowerSeriesOperator\(1, 7, 7\) \(not sparse, single entries not known\)",
    ),
    (
        lambda: PowerSeriesMask(2, alpha=Free)(ring()) * (identity() + low_rank()),
        "single entries not known",
    ),
]


@pytest.mark.parametrize(("make", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()
