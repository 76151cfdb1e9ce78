from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import Pattern, power_series, series


def problem(
    heads: int = 2, order: int = 3, shared: bool = False
) -> tuple[Pattern, Tensor, Tensor, Tensor]:
    """A directed pattern with an empty row and an empty column."""
    pattern = Pattern.from_coo(torch.tensor([0, 0, 1, 3, 3]), torch.tensor([1, 3, 0, 1, 3]), (4, 4))
    generator = torch.Generator().manual_seed(0)
    weight, alpha = (
        torch.randn(*shape, generator=generator) for shape in ((5,), (heads, order + 1))
    )
    return pattern, weight, alpha, torch.randn(1 if shared else heads, 4, 3, generator=generator)


def definition(pattern: Pattern, weight: Tensor, alpha: Tensor, x: Tensor) -> Tensor:
    W = pattern.to_dense(weight)
    powers = torch.stack([torch.linalg.matrix_power(W, k) for k in range(alpha.shape[1])])
    return torch.einsum("hk,kij->hij", alpha, powers) @ x


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2, 5])
@pytest.mark.parametrize("heads", [1, 3])
def test_it_is_the_sum_of_powers_forward_and_backward(heads: int, order: int, shared: bool) -> None:
    pattern, weight, alpha, x = problem(heads, order, shared)
    leaves = [alpha.requires_grad_(), x.requires_grad_()]
    found, expected = (each(pattern, weight, *leaves) for each in (power_series, definition))
    assert_close(found, expected)
    slopes = (torch.autograd.grad(out.square().sum(), leaves) for out in (found, expected))
    assert_close(*slopes)


def test_coefficients_that_heads_share() -> None:
    pattern, weight, alpha, x = problem()
    leaves = [alpha[:1].clone().requires_grad_(), x.requires_grad_()]
    found, expected = (each(pattern, weight, *leaves) for each in (power_series, definition))
    assert_close(found, expected)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in (found, expected)))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_heads_may_have_their_own_weights(order: int, shared: bool) -> None:
    pattern, _, alpha, x = problem(3, order, shared)
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    leaves = [each.requires_grad_() for each in (weight, alpha, x)]

    def each_head(weight: Tensor, alpha: Tensor, x: Tensor) -> Tensor:
        heads = zip(weight, alpha, x.expand(3, -1, -1), strict=True)
        return torch.cat([definition(pattern, w, a[None], features) for w, a, features in heads])

    found, expected = power_series(pattern, *leaves), each_head(*leaves)
    assert_close(found, expected)
    slopes = (
        torch.autograd.grad(out.square().sum(), leaves, materialize_grads=True)
        for out in (found, expected)
    )
    assert_close(*slopes)
    with torch.no_grad():
        assert_close(power_series(pattern, *leaves), expected)


def test_the_gradient_of_the_weight() -> None:
    pattern, *leaves = problem()
    leaves = [each.requires_grad_() for each in leaves]
    slopes = (
        torch.autograd.grad(each(pattern, *leaves).square().sum(), leaves)
        for each in (power_series, definition)
    )
    assert_close(*slopes)


@pytest.mark.parametrize("wanted", [(0,), (1,), (0, 1), (0, 1, 2)], ids=str)
def test_derivatives_of_both_orders(wanted: tuple[int, ...]) -> None:
    pattern, weight, alpha, x = problem()
    leaves = [alpha, x, weight]
    for number in wanted:
        leaves[number].requires_grad_()
    above = torch.ones(2, 4, 3).requires_grad_()

    def run(alpha: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return power_series(pattern, weight, alpha, x)

    assert gradcheck(run, leaves)
    assert gradgradcheck(run, leaves, above)


def test_nothing_is_kept_per_power() -> None:
    pattern, weight, alpha, x = problem(order=20)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda each: kept.append(each.numel()) or each, lambda each: each
    ):
        power_series(pattern, weight, alpha.requires_grad_(), x.requires_grad_())
    assert sum(kept) < 3 * x.numel() + alpha.numel() + 8 * pattern.nnz


@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(grad: bool) -> None:
    pattern, weight, alpha, x = problem()
    sides = pattern.tensors
    torch.library.opcheck(
        series._series, (x.requires_grad_(grad), alpha.requires_grad_(grad), weight, *sides)
    )
