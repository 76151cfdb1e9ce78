from __future__ import annotations

import torch
from torch.testing import assert_close

from graphmask.operators import GlobalOperator, PowerSeriesOperator, ProductOperator, SparseOperator
from graphmask.testing import example_topologies


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
