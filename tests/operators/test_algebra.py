from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.kernels import Pattern
from graphmask.operators import (
    Dense,
    GlobalOperator,
    MaskOperator,
    PowerSeriesOperator,
    ProductOperator,
    ScaledOperator,
    SparseOperator,
    SumOperator,
)
from graphmask.testing import example_topologies


@pytest.fixture
def topology() -> Topology:
    return example_topologies()["ragged"]


def signed(topology: Topology, heads: int = 2) -> SparseOperator:
    pattern = topology.pattern
    value = torch.randn(heads, pattern.nnz, generator=torch.Generator().manual_seed(0))
    return SparseOperator(topology, pattern, value)


def series(topology: Topology, nonnegative: bool = True) -> PowerSeriesOperator:
    return PowerSeriesOperator(
        topology, *topology.adjacency(), torch.tensor([[0.5, 0.3, 0.2]]), nonnegative
    )


def features(topology: Topology, heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.rand(heads, topology.num_nodes, 3, generator=generator) for _ in range(3))


def attended_by_definition(
    operator: MaskOperator, q: Tensor, k: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    M = operator.to_dense()
    return (M * (q @ k.mT)) @ v, (M.abs() * (q @ k.mT)).sum(-1)


SIGNED_SUMS: dict[str, Callable[[Topology], MaskOperator]] = {
    "global": lambda t: 0.7 * GlobalOperator(t) + signed(t),
    "negative-global": lambda t: -0.7 * GlobalOperator(t) + signed(t),
    "one-scale-per-head": lambda t: torch.tensor([0.5, -0.5]) * GlobalOperator(t) + signed(t),
    "two-globals": lambda t: GlobalOperator(t) + (GlobalOperator(t) + signed(t)),
    "two-sparse": lambda t: signed(t) + GlobalOperator(t) + 0.3 * signed(t, 1),
    "nested": lambda t: signed(t) + -2.0 * (GlobalOperator(t) + signed(t)),
    "sparse-alone": lambda t: signed(t) + -1.5 * signed(t, 1),
}


@pytest.mark.parametrize("make", SIGNED_SUMS.values(), ids=SIGNED_SUMS)
def test_signed_sums_have_the_normaliser_of_absolute_values(
    make: Callable[[Topology], MaskOperator], topology: Topology
) -> None:
    operator, qkv = make(topology), features(topology)
    assert not operator.nonnegative
    assert_close(tuple(operator.attend(*qkv)), attended_by_definition(operator, *qkv))


def test_a_signed_sum_cancels_to_nothing(topology: Topology) -> None:
    """L = 1 and S = -1 on the whole graph: the sum is zero, and so is its normaliser."""
    inside = topology.batch.unsqueeze(0) == topology.batch.unsqueeze(1)
    row, col = inside.nonzero(as_tuple=True)
    minus = SparseOperator(
        topology, Pattern.from_coo(row, col, inside.shape), -torch.ones(1, len(row))
    )
    numerator, normaliser = (GlobalOperator(topology) + minus).attend(*features(topology))
    assert_close(numerator, torch.zeros_like(numerator))
    assert_close(normaliser, torch.zeros_like(normaliser))


def test_a_wide_sum_of_known_sign_adds(topology: Topology) -> None:
    operator, qkv = GlobalOperator(topology) + 0.5 * series(topology), features(topology)
    assert operator.nonnegative
    assert_close(tuple(operator.attend(*qkv)), attended_by_definition(operator, *qkv))


def large() -> Topology:
    """Its blocks would not fit the memory that an execution may take by itself."""
    return Topology(torch.tensor([[0, 1], [1, 0]]), 20_000)


UNKNOWN_SIGNS: dict[str, Callable[[Topology], MaskOperator]] = {
    "series": lambda t: series(t, nonnegative=False),
    "sum-with-series": lambda t: GlobalOperator(t) + series(t, nonnegative=False),
    "two-wide-terms": lambda t: signed(t) + -1.0 * GlobalOperator(t) + series(t),
    "no-single-entries": lambda t: signed(t) + series(t),
}


@pytest.mark.parametrize("make", UNKNOWN_SIGNS.values(), ids=UNKNOWN_SIGNS)
def test_signs_that_cannot_be_known_are_refused_on_large_graphs(
    make: Callable[[Topology], MaskOperator],
) -> None:
    topology = large()
    with pytest.raises(
        ValueError, match="`mask` must be non-negative, or sparse, or of graphs small enough"
    ):
        make(topology).attend(*features(topology))


@pytest.mark.parametrize("make", UNKNOWN_SIGNS.values(), ids=UNKNOWN_SIGNS)
def test_signs_that_cannot_be_known_are_read_from_blocks(
    make: Callable[[Topology], MaskOperator], topology: Topology
) -> None:
    operator, qkv = make(topology), features(topology)
    assert_close(tuple(operator.attend(*qkv)), attended_by_definition(operator, *qkv))
    assert_close(tuple(operator.attend(*qkv, Dense())), attended_by_definition(operator, *qkv))


def test_sparse_terms_are_merged(topology: Topology) -> None:
    first, second = signed(topology), signed(topology, 1).mT
    merged = (first + second).entries()
    assert_close(merged.pattern.to_dense(merged.value), first.to_dense() + second.to_dense())
    position = merged.pattern.row.long() * topology.num_nodes + merged.pattern.col
    assert (position.diff() > 0).all()
    assert (first + GlobalOperator(topology)).entries() is None


def test_the_union_of_supports_is_that_of_the_latest_partner(
    topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = signed(topology)
    identity = topology.pattern.identity
    partners = [
        signed(topology, 1).mT,
        SparseOperator(topology, identity, torch.ones(1, identity.nnz)),
    ]
    for second in (*partners, *partners):
        total = (first + second).entries()
        expected = first.to_dense() + second.to_dense()
        assert_close(total.pattern.to_dense(total.value), expected)
    monkeypatch.setattr(torch, "unique", None)
    assert (first + partners[1]).entries().pattern is total.pattern
    same = (first + first).entries()
    assert same.pattern is first.pattern
    assert_close(same.value, 2 * first.value)


def test_sums_are_flat(topology: Topology) -> None:
    pairs = signed(topology) + signed(topology), signed(topology) + GlobalOperator(topology)
    assert len((pairs[0] + pairs[1]).terms) == 4


@pytest.mark.usefixtures("single_by_default")
@pytest.mark.parametrize(
    "scale", [0.1, torch.tensor(0.1, dtype=torch.float64)], ids=["number", "tensor"]
)
def test_scales_keep_their_precision_and_the_type_of_x(
    scale: float | Tensor, topology: Topology
) -> None:
    operator = scale * GlobalOperator(topology)
    sizes = topology.graph_sizes[topology.batch].double()
    assert_close(
        (operator @ torch.ones(23, 1, dtype=torch.float64))[0, :, 0],
        sizes * 0.1,
        rtol=1e-15,
        atol=0,
    )
    assert ((0.1 * GlobalOperator(topology)) @ torch.ones(23, 1)).dtype == torch.float32


def test_scaling_by_minus_one_turns_the_numerator_alone(topology: Topology) -> None:
    plain = GlobalOperator(topology).attend(*features(topology))
    minus = (-1 * GlobalOperator(topology)).attend(*features(topology))
    assert_close(tuple(minus), (-plain.numerator, plain.denominator))


def test_signs_of_scaled_masks_are_known_from_numbers_alone(topology: Topology) -> None:
    """A tensor may be learned, and its sign is never read."""
    plain = GlobalOperator(topology)
    signs = [
        (scale * plain).nonnegative for scale in (2, 0.0, -1, torch.tensor(2.0), torch.ones(2))
    ]
    assert signs == [True, True, False, False, False]
    assert not (2.0 * signed(topology)).nonnegative


def test_a_learned_scale_has_a_gradient(topology: Topology) -> None:
    scale = torch.tensor([0.5, -0.3]).requires_grad_()
    qkv = features(topology)
    found = (scale * GlobalOperator(topology) + signed(topology)).attend(*qkv)
    M = (
        scale.view(-1, 1, 1) * reference.global_mask(23, topology.batch)
        + signed(topology).to_dense()
    )
    expected = (M.abs() * (qkv[0] @ qkv[1].mT)).sum(-1)
    assert_close(
        torch.autograd.grad(found.denominator.square().sum(), scale),
        torch.autograd.grad(expected.square().sum(), scale),
    )


REFUSED: list[tuple[Callable[[Topology], object], str]] = [
    (
        lambda t: torch.ones(3) * signed(t, 2),
        r"`scale` must be a number or of shape \[H\] with H = 2",
    ),
    (lambda t: ScaledOperator(signed(t, 2), torch.ones(3, 1)), "`scale`"),
]


@pytest.mark.parametrize(("make", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(
    make: Callable[[Topology], object], expected: str, topology: Topology
) -> None:
    with pytest.raises(ValueError, match=expected):
        make(topology)


def test_sums_start_with_their_first_term(topology: Topology) -> None:
    assert isinstance(sum([signed(topology)], start=GlobalOperator(topology)), SumOperator)


def factor(name: str = "directed", heads: int = 2, scale: float = 1.0) -> SparseOperator:
    topology = example_topologies()[name]
    value = torch.randn(heads, topology.pattern.nnz, generator=torch.Generator().manual_seed(0))
    return SparseOperator(topology, topology.pattern, scale * value)


def test_factors_are_multiplied_in_order() -> None:
    first, second, third = factor(), factor(scale=2.0).mT, factor(scale=3.0)
    product = ProductOperator(first, second, third)
    assert_close(product.to_dense(), first.to_dense() @ second.to_dense() @ third.to_dense())
    assert_close(product @ torch.eye(13), product.to_dense())
    assert_close(product.mT @ torch.eye(13), product.to_dense().mT)


def test_a_square_is_the_second_power() -> None:
    topology = example_topologies()["weighted"]
    weight = topology.adjacency("rw")
    W, W2 = (
        PowerSeriesOperator(topology, *weight, torch.eye(3)[power : power + 1]) for power in (1, 2)
    )
    assert_close(ProductOperator(W, W).to_dense(), W2.to_dense())


def test_a_product_is_non_negative_if_its_factors_are() -> None:
    topology = example_topologies()["weighted"]
    positive = SparseOperator(
        topology, topology.pattern, torch.ones(1, topology.pattern.nnz), nonnegative=True
    )
    assert ProductOperator(positive, positive.mT).nonnegative
    assert not ProductOperator(positive, factor("weighted", 1)).nonnegative
    assert ProductOperator(positive, positive).cost == 2 * positive.cost


def test_a_factor_of_one_head_serves_all() -> None:
    shared, per_head = GlobalOperator(example_topologies()["directed"]), factor()
    for product in (shared @ per_head, per_head @ shared):
        assert product.heads == per_head.heads > 1
        assert_close(product @ torch.eye(13), product.to_dense())
