from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from graphmask.kernels import Pattern, chebyshev_series
from graphmask.testing import assert_gradients


@pytest.fixture
def pattern() -> Pattern:
    full = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    row, col = full.nonzero(as_tuple=True)
    return Pattern.from_coo(row, col, (6, 6))


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_terms_are_cosines_of_multiples(order: int) -> None:
    """T_k(cos x) = cos k x: for numbers on a diagonal."""
    angle = torch.linspace(0, 3, 7)
    nodes = torch.arange(7)
    diagonal = Pattern.from_coo(nodes, nodes, (7, 7))
    coefficients = numbers(2, order + 1, seed=1)
    found = chebyshev_series(diagonal, angle.cos(), coefficients, torch.ones(1, 7, 1))
    assert_close(found[..., 0], coefficients @ torch.cos(torch.arange(order + 1)[:, None] * angle))


@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("heads", [(1, 2), (2, 1), (2, 2)])
def test_derivatives(pattern: Pattern, order: int, heads: tuple[int, int]) -> None:
    weight = numbers(pattern.nnz, seed=2) / 2

    def series(coefficients: Tensor, x: Tensor) -> Tensor:
        return chebyshev_series(pattern, weight, coefficients, x)

    assert_gradients(series, numbers(heads[0], order + 1, seed=3), numbers(heads[1], 6, 2, seed=4))


def test_derivatives_by_the_weight(pattern: Pattern) -> None:
    parts = numbers(pattern.nnz, seed=2) / 2, numbers(2, 5, seed=3), numbers(1, 6, 2, seed=4)
    assert_gradients(lambda *inputs: chebyshev_series(pattern, *inputs), *parts)


def test_nothing_is_kept_per_term(pattern: Pattern) -> None:
    kept: list[int] = []
    x, coefficients = (
        numbers(1, 6, 3, seed=0).requires_grad_(),
        numbers(1, 50, seed=1).requires_grad_(),
    )

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        chebyshev_series(pattern, torch.ones(pattern.nnz), coefficients, x)
    assert sum(size >= x.numel() for size in kept) < 10
