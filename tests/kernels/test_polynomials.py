from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import Pattern, chebyshev_series, polynomials, power_series

SERIES = [power_series, chebyshev_series]
Series = Callable[[Pattern, Tensor, Tensor, Tensor], Tensor]

pytestmark = pytest.mark.parametrize("series", SERIES, ids=lambda f: f.__name__)


def problem(
    heads: int = 2, order: int = 3, shared: bool = False
) -> tuple[Pattern, Tensor, Tensor, Tensor]:
    """A directed pattern with an empty row and an empty column."""
    pattern = Pattern.from_coo(torch.tensor([0, 0, 1, 3, 3]), torch.tensor([1, 3, 0, 1, 3]), (4, 4))
    generator = torch.Generator().manual_seed(0)
    shapes = (5,), (heads, order + 1), (1 if shared else heads, 4, 3)
    return pattern, *(torch.randn(shape, generator=generator) for shape in shapes)


def definition(
    series: Series, pattern: Pattern, weight: Tensor, coefficients: Tensor, x: Tensor
) -> Tensor:
    W, order = pattern.to_dense(weight), coefficients.shape[1] - 1
    terms = [torch.eye(4).expand_as(W), W]
    for _ in range(order - 1):
        terms.append(W @ terms[-1])
        if series is chebyshev_series:
            terms[-1] = 2 * terms[-1] - terms[-3]
    terms = torch.stack(terms[: order + 1], -3)
    equation = "hk,...kij->...hij" if W.dim() == 2 else "hk,hkij->hij"
    return torch.einsum(equation, coefficients, terms) @ x


def assert_definition(series: Series, pattern: Pattern, *inputs: Tensor) -> None:
    """Values and gradients of the inputs that require them."""
    leaves = [x for x in inputs if x.requires_grad]
    outputs = series(pattern, *inputs), definition(series, pattern, *inputs)
    assert_close(*outputs)
    totals = (out.square().sum() for out in outputs)
    assert_close(*(torch.autograd.grad(x, leaves, materialize_grads=True) for x in totals))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2, 5])
@pytest.mark.parametrize("heads", [1, 3])
def test_it_is_the_sum_of_its_terms(series: Series, heads: int, order: int, shared: bool) -> None:
    pattern, weight, coefficients, x = problem(heads, order, shared)
    for leaf in (coefficients, coefficients[:1].clone()):
        assert_definition(series, pattern, weight, leaf.requires_grad_(), x.requires_grad_())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_heads_may_have_their_own_weights(series: Series, order: int, shared: bool) -> None:
    pattern, _, *rest = problem(3, order, shared)
    inputs = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), *rest
    assert_definition(series, pattern, *(x.requires_grad_() for x in inputs))
    with torch.no_grad():
        assert_close(series(pattern, *inputs), definition(series, pattern, *inputs))


@pytest.mark.parametrize("wanted", [(1,), (2,), (1, 2), (0, 1, 2)], ids=str)
def test_derivatives_of_both_orders(series: Series, wanted: tuple[int, ...]) -> None:
    pattern, *inputs = problem()
    for index in wanted:
        inputs[index].requires_grad_()
    assert gradcheck(lambda *x: series(pattern, *x), inputs)
    grad = torch.ones(2, 4, 3).requires_grad_()
    assert gradgradcheck(lambda *x: series(pattern, *x), inputs, grad)


def test_nothing_is_kept_per_term(series: Series) -> None:
    pattern, weight, coefficients, x = problem(order=20)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: kept.append(saved.numel()) or saved, lambda saved: saved
    ):
        series(pattern, weight, coefficients.requires_grad_(), x.requires_grad_())
    assert sum(kept) < 3 * x.numel() + coefficients.numel() + 8 * pattern.nnz


@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(series: Series, grad: bool) -> None:
    pattern, weight, coefficients, x = problem()
    inputs = x.requires_grad_(grad), coefficients.requires_grad_(grad), weight
    rest = *pattern.tensors, series is chebyshev_series
    torch.library.opcheck(polynomials._series.definition, (*inputs, *rest))


def test_it_compiles_as_one_graph(series: Series) -> None:
    torch.compiler.reset()
    pattern, weight, *leaves = problem()
    leaves = [x.requires_grad_() for x in leaves]
    _ = pattern.mT

    def run(coefficients: Tensor, x: Tensor) -> Tensor:
        return series(pattern, weight, coefficients, x)

    outputs = torch.compile(run, fullgraph=True, backend="aot_eager")(*leaves), run(*leaves)
    assert_close(*outputs)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))


@pytest.mark.parametrize("order", [0, 1, 5])
def test_terms_on_a_diagonal(series: Series, order: int) -> None:
    """T_k(cos x) = cos k x, and powers of numbers."""
    angle, nodes = torch.linspace(0, 3, 7), torch.arange(7)
    diagonal = Pattern.from_coo(nodes, nodes, (7, 7))
    coefficients = torch.randn(2, order + 1, generator=torch.Generator().manual_seed(1))
    terms = torch.arange(order + 1)[:, None]
    terms = (terms * angle).cos() if series is chebyshev_series else angle.cos() ** terms
    total = series(diagonal, angle.cos(), coefficients, torch.ones(1, 7, 1))[..., 0]
    assert_close(total, coefficients @ terms)
