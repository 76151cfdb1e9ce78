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
def test_derivatives_are_finite_at_no_and_at_infinite_distance(make: Any) -> None:
    g = cases.scrambled(make(heads=2)).double()
    D = torch.tensor([0.0, 0.5, 2.0, torch.inf], dtype=torch.float64)
    assert_gradients(lambda: g(D), module=g)
    if g.differentiable:
        assert_gradients(
            lambda d: g(torch.cat([d, D])), torch.tensor([0.3, 2.0], dtype=torch.float64), module=g
        )
        wanted = D.clone().requires_grad_()
        g(wanted).sum().backward()
        assert wanted.grad.isfinite().all()


@pytest.mark.parametrize("make", FUNCTIONS)
def test_functions_start_where_they_are_reset_to(make: Any) -> None:
    g, D = make(heads=3), torch.tensor([0.0, 0.5, 1.0])
    first = g(D)
    cases.scrambled(g).reset_parameters()
    assert_close(g(D), first)
    assert (first[0] == first).all()


def test_initial_values_known_by_hand() -> None:
    d = torch.tensor([0.0, 2.0])
    assert_close(
        ExponentialDistance(slope=0.5)(d), torch.tensor([[1.0, 0.36788]]), rtol=1e-5, atol=0
    )
    assert_close(TableDistance(3)(d), torch.tensor([[1.0, 0.980199]]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_multiples_are_known_up_to_rounding(dtype: torch.dtype) -> None:
    k = torch.tensor([0, 1, 3, 7, 1000, 123456])
    g = TableDistance(200_000, unit=0.1, values=Free)
    assert_close(g(k.to(dtype) * 0.1), g.table()[:, k])
    for wrong in (0.15, 0.1001, 12345.61):
        with pytest.raises(ValueError, match=r"`distance` must be multiples of the unit 0\.1"):
            g(torch.tensor([wrong], dtype=dtype))
