from __future__ import annotations

from functools import partial
from typing import Any

import cases
import pytest
import torch
from cases.trees import distance_function_reference
from torch.testing import assert_close

from graphmask.masks import (
    DistanceFunction,
    ExponentialDistance,
    Free,
    PolynomialExponentialDistance,
    TableDistance,
)
from graphmask.testing import assert_gradients

FUNCTIONS = [
    ExponentialDistance,
    partial(ExponentialDistance, slope=0.25),
    partial(PolynomialExponentialDistance, 0),
    partial(PolynomialExponentialDistance, 3),
    partial(PolynomialExponentialDistance, 2, coefficients=Free),
    partial(TableDistance, 4, unit=0.5),
    partial(TableDistance, 7, unit=0.25, values=Free),
]


@pytest.mark.parametrize("make", FUNCTIONS)
def test_functions_are_their_definition(make: Any) -> None:
    g: DistanceFunction = cases.scrambled(make(heads=2)).double()
    D = torch.tensor([[0.0, 0.5, torch.inf], [1.5, 3.0, 400.0]], dtype=torch.float64)
    assert_close(g(D), distance_function_reference(g, D))
    assert g(D).shape == (2, 2, 3)
    assert (g(D)[..., 0, 2] == 0).all()
    assert not g.nonnegative or bool((g(D) >= 0).all())


@pytest.mark.parametrize("make", FUNCTIONS)
def test_derivatives_are_finite_at_zero_and_at_infinity(make: Any) -> None:
    g = cases.scrambled(make(heads=2)).double()
    D = torch.tensor([0.0, 0.5, 2.0, torch.inf])
    assert_gradients(lambda: g(D), module=g)
    if g.differentiable:
        assert_gradients(lambda d: g(torch.cat([d, D])), torch.tensor([0.3, 2.0]), module=g)
        leaf = D.clone().requires_grad_()
        g(leaf).sum().backward()
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("make", FUNCTIONS)
def test_resets_restore_initial_values(make: Any) -> None:
    g, D = make(heads=3), torch.tensor([0.0, 0.5, 1.0])
    initial = g(D)
    cases.scrambled(g).reset_parameters()
    assert_close(g(D), initial)
    assert (initial[0] == initial).all()


def test_initial_values() -> None:
    d = torch.tensor([0.0, 2.0])
    for g, value in ((ExponentialDistance(slope=0.5), 0.36788), (TableDistance(3), 0.980199)):
        assert_close(g(d), torch.tensor([[1.0, value]]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tables_round_distances_to_multiples_of_the_unit(dtype: torch.dtype) -> None:
    k = torch.tensor([0, 1, 3, 7, 1000, 123456])
    g = TableDistance(200_000, unit=0.1, values=Free)
    assert_close(g(k.to(dtype) * 0.1), g.table()[:, k])
    for wrong in (0.15, 0.1001, 12345.61):
        with pytest.raises(ValueError, match=r"`distance` must be multiples of the unit 0\.1"):
            g(torch.tensor([wrong], dtype=dtype))
