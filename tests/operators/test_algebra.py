"""Sums, multiples and products of operators."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from builders import features, seeded
from counting import Written
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.kernels import Pattern
from graphmask.masks import PowerSeriesMask
from graphmask.operators import (
    GlobalOperator,
    HadamardOperator,
    LowRankOperator,
    MaskOperator,
    PowerSeriesOperator,
    ProductOperator,
    ScaledOperator,
    SparseOperator,
    SumOperator,
    hadamard,
)
from graphmask.testing import assert_executions_agree, example_topologies


@pytest.fixture
def topology() -> Topology:
    return example_topologies()["ragged"]


def signed(topology: Topology, heads: int = 2) -> SparseOperator:
    value = torch.randn(heads, topology.pattern.nnz, generator=seeded())
    return SparseOperator(topology, topology.pattern, value)


def series(topology: Topology, nonnegative: bool = True) -> PowerSeriesOperator:
    return PowerSeriesOperator(
        topology, *topology.adjacency(), torch.tensor([[0.5, 0.3, 0.2]]), nonnegative
    )


SIGNED_SUMS: dict[str, Callable[[Topology], MaskOperator]] = {
    "global": lambda t: 0.7 * GlobalOperator(t) + signed(t),
    "negative-global": lambda t: -0.7 * GlobalOperator(t) + signed(t),
    "one-scale-per-head": lambda t: torch.tensor([0.5, -0.5]) * GlobalOperator(t) + signed(t),
    "two-globals": lambda t: GlobalOperator(t) + (GlobalOperator(t) + signed(t)),
    "two-sparse": lambda t: signed(t) + GlobalOperator(t) + 0.3 * signed(t, 1),
    "nested": lambda t: signed(t) + -2.0 * (GlobalOperator(t) + signed(t)),
    "sparse-alone": lambda t: signed(t) + -1.5 * signed(t, 1),
}
UNKNOWN_SIGNS: dict[str, Callable[[Topology], MaskOperator]] = {
    "series": lambda t: series(t, nonnegative=False),
    "sum-with-series": lambda t: GlobalOperator(t) + series(t, nonnegative=False),
    "two-wide-terms": lambda t: signed(t) + -1.0 * GlobalOperator(t) + series(t),
    "no-single-entries": lambda t: signed(t) + series(t),
}


@pytest.mark.parametrize("name", [*SIGNED_SUMS, *UNKNOWN_SIGNS])
def test_the_denominator_of_signed_sums_sums_absolute_values(topology: Topology, name: str) -> None:
    operator = (SIGNED_SUMS | UNKNOWN_SIGNS)[name](topology)
    assert not operator.nonnegative
    assert_executions_agree(operator)


@pytest.mark.parametrize("make", UNKNOWN_SIGNS.values(), ids=UNKNOWN_SIGNS)
def test_masks_of_unknown_sign_raise_on_large_graphs(
    make: Callable[[Topology], MaskOperator],
) -> None:
    """Their blocks would not fit the memory that an execution may take by itself."""
    large = Topology(torch.tensor([[0, 1], [1, 0]]), 20_000)
    with pytest.raises(
        ValueError, match="`mask` must be non-negative, or sparse, or of graphs small enough"
    ):
        make(large).attend(*features(20_000))


def test_a_signed_sum_cancels_to_nothing(topology: Topology) -> None:
    """L = 1 and S = -1 everywhere: the sum is zero, and so is its denominator."""
    inside = topology.batch.unsqueeze(0) == topology.batch.unsqueeze(1)
    row, col = inside.nonzero(as_tuple=True)
    pattern = Pattern.from_coo(row, col, inside.shape)
    minus = SparseOperator(topology, pattern, -torch.ones(1, len(row)))
    for sums in (GlobalOperator(topology) + minus).attend(*features(23))[:2]:
        assert_close(sums, torch.zeros_like(sums))


def test_sparse_terms_are_merged_on_the_union_of_their_supports(
    topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The union with the latest partner is kept."""
    first, identity = signed(topology), topology.pattern.identity
    diagonal = SparseOperator(topology, identity, torch.ones(1, identity.nnz))
    partners = [signed(topology, 1).mT, diagonal]
    for second in (*partners, *partners):
        total = (first + second).entries()
        expected = first.to_dense() + second.to_dense()
        assert_close(total.pattern.to_dense(total.value), expected)
        position = total.pattern.row.long() * topology.num_nodes + total.pattern.col
        assert (position.diff() > 0).all()
    assert (first + GlobalOperator(topology)).entries() is None
    monkeypatch.setattr(torch, "unique", None)
    assert (first + diagonal).entries().pattern is total.pattern
    double = (first + first).entries()
    assert double.pattern is first.pattern
    assert_close(double.value, 2 * first.value)


def test_sums_are_flat(topology: Topology) -> None:
    pairs = signed(topology) + signed(topology), signed(topology) + GlobalOperator(topology)
    assert len((pairs[0] + pairs[1]).terms) == 4
    assert isinstance(sum([signed(topology)], start=GlobalOperator(topology)), SumOperator)


@pytest.mark.usefixtures("single_by_default")
def test_scales_keep_their_precision_and_the_dtype_of_x(topology: Topology) -> None:
    sizes = topology.graph_sizes[topology.batch].double()
    for scale in (0.1, torch.tensor(0.1, dtype=torch.float64)):
        product = (scale * GlobalOperator(topology)) @ torch.ones(23, 1, dtype=torch.float64)
        assert_close(product[0, :, 0], sizes * 0.1, rtol=1e-15, atol=0)
    assert ((0.1 * GlobalOperator(topology)) @ torch.ones(23, 1)).dtype == torch.float32


def test_scaling_by_minus_one_changes_the_sign_of_the_numerator_alone(topology: Topology) -> None:
    plain = GlobalOperator(topology).attend(*features(23))
    minus = (-1 * GlobalOperator(topology)).attend(*features(23))
    assert_close(minus[:2], (-plain.numerator, plain.denominator))


def test_signs_of_scaled_masks_depend_on_numbers_alone(topology: Topology) -> None:
    """A tensor may be learned, and its sign is never read."""
    scales = (2, 0.0, -1, torch.tensor(2.0), torch.ones(2))
    signs = [(scale * GlobalOperator(topology)).nonnegative for scale in scales]
    assert signs == [True, True, False, False, False]
    assert not (2.0 * signed(topology)).nonnegative


def test_a_learned_scale_has_a_gradient(topology: Topology) -> None:
    scale = torch.tensor([0.5, -0.3]).requires_grad_()
    q, k, v = features(23)
    sums = (scale * GlobalOperator(topology) + signed(topology)).attend(q, k, v)
    ones = reference.global_mask(23, topology.batch)
    M = scale.view(-1, 1, 1) * ones + signed(topology).to_dense()
    expected = (M.abs() * (q @ k.mT)).sum(-1)
    assert_close(
        torch.autograd.grad(sums.denominator.square().sum(), scale),
        torch.autograd.grad(expected.square().sum(), scale),
    )


def test_a_product_is_non_negative_if_its_factors_are() -> None:
    topology = example_topologies()["weighted"]
    value = torch.ones(1, topology.pattern.nnz)
    positive = SparseOperator(topology, topology.pattern, value, nonnegative=True)
    assert ProductOperator(positive, positive.mT).nonnegative
    assert not ProductOperator(positive, signed(topology, 1)).nonnegative
    assert ProductOperator(positive, positive).cost == 2 * positive.cost


# Entrywise products, on a ring of 7 nodes

RING = example_topologies()["ring"]


def power_series(order: int = 3) -> MaskOperator:
    return PowerSeriesMask(order)(RING)


def low_rank(rank: int = 1) -> LowRankOperator:
    factor = torch.rand(1, 7, rank, generator=seeded(), dtype=torch.float64)
    return LowRankOperator(RING, factor, factor.flip(1), nonnegative=True)


def diagonal() -> SparseOperator:
    value = torch.arange(7.0, dtype=torch.float64).unsqueeze(0)
    return SparseOperator(RING, RING.pattern.identity, value, nonnegative=True)


def test_entrywise_products_take_their_simplest_form() -> None:
    assert isinstance(2 * low_rank(), ScaledOperator)
    assert isinstance(low_rank() * torch.tensor(2.0), ScaledOperator)
    other = power_series()
    assert other * GlobalOperator(RING) is GlobalOperator(RING) * other is other
    on_diagonal = diagonal() * low_rank(3)
    assert isinstance(on_diagonal, SparseOperator)
    assert on_diagonal.nonnegative
    walks = SparseOperator(RING, RING.pattern, torch.ones(1, 14))
    assert (walks * diagonal()).entries().pattern.nnz == 7
    product = low_rank(3) * low_rank(2)
    assert isinstance(product, HadamardOperator)
    assert product.factor.rank == 2
    # A mask without `lookup` is looked up by its entries.
    assert power_series(1).lookup(RING.pattern) is None
    for first, second in ((power_series(1), diagonal()), (diagonal(), low_rank(3))):
        assert_close((first * second).to_dense(), first.to_dense() * second.to_dense())


def test_an_entrywise_product_with_a_non_negative_mask_has_the_sign_of_the_other() -> None:
    """|M_ij B_ij| = |M_ij| B_ij: both sums are those of M with more features."""
    mask = GlobalOperator(RING) + -2.0 * SparseOperator(RING, RING.pattern, torch.ones(1, 14))
    product = HadamardOperator(mask, low_rank(2))
    assert not product.sums_itself
    assert_executions_agree(product)


def test_slices_of_entrywise_products_add_up_to_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    product, x = power_series() * low_rank(4), torch.rand(1, 7, 3, generator=seeded(2))
    total = product @ x
    monkeypatch.setattr(hadamard, "SLICE_MEMORY", 1)
    assert_close(product @ x, total)
    (grad,) = torch.autograd.grad((product @ x.requires_grad_()).sum(), x)
    assert_close(grad, product.to_dense().sum(1, keepdim=True).mT.expand_as(x))


def test_entrywise_products_cost_rank_times_the_other_mask() -> None:
    assert (power_series() * low_rank(3)).cost == 3 * power_series().cost
    counts = []
    for rank in (2, 8):
        with Written() as written:
            power_series() * low_rank(rank) @ torch.ones(7, 3)
        counts.append(written.count)
    assert counts[1] < 4.1 * counts[0]


def test_products_of_factors_of_different_types(topology: Topology) -> None:
    sparse = signed(topology)
    single = SparseOperator(topology, topology.pattern, sparse.entries().value.float())
    product = ProductOperator(single, sparse)
    x = features(topology.num_nodes)[2]
    assert product.to_dense().dtype == torch.float64
    assert_close(product @ x, product.to_dense() @ x)


def test_rows_that_cancel_attend_to_nothing() -> None:
    """Of a node alone in its graph a mask without the diagonal leaves rounding errors."""
    graphs = Topology(torch.tensor([[0, 1], [1, 0]]), 5, batch=torch.tensor([0, 0, 1, 2, 3]))
    diagonal = Pattern.from_coo(*torch.arange(5).expand(2, 5), (5, 5))
    mask = GlobalOperator(graphs) + SparseOperator(graphs, diagonal, -torch.ones(1, 5))
    q, k, v = features(5)
    numerator, denominator, _ = mask.attend(q, k, v)
    assert numerator[:, :2].all()
    assert not numerator[:, 2:].any()
    assert not denominator[:, 2:].any()
