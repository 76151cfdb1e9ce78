from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import reference
from graphmask.masks import Coefficients, Diffusion, Free, NonNegative, PageRank, PowerSeriesMask, RegularizedLaplacian
from graphmask.testing import assert_gradients, example_topologies

KINDS = tuple(cases.COEFFICIENTS)
POSITIVE = tuple(kind for kind in KINDS if kind.nonnegative)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("hops", "heads"), [(0, 1), (1, 3), (9, 2)])
def test_values_and_derivatives(kind: type[Coefficients], hops: int, heads: int) -> None:
    coefficients = cases.scrambled(kind(hops, heads))
    assert coefficients().shape == (heads, hops + 1)
    assert_close(coefficients(), cases.coefficients_reference(coefficients))
    assert_gradients(lambda: coefficients(), module=coefficients)


@pytest.mark.parametrize("kind", POSITIVE)
@pytest.mark.parametrize("value", [-100.0, -5.0, 0.0, 5.0])
def test_what_is_called_non_negative_stays_so(kind: type[Coefficients], value: float) -> None:
    coefficients = kind(8, 2)
    for parameter in coefficients.parameters():
        parameter.data.fill_(value)
    assert (coefficients() >= 0).all()
    assert coefficients().isfinite().all()


START = [
    (Free(2, 2), torch.exp(-0.01 * torch.arange(3.0))),
    (NonNegative(2, 2), torch.exp(-0.01 * torch.arange(3.0))),
    (Diffusion(3, 2, scale=2.0), reference.diffusion(2.0, 3)),
    (RegularizedLaplacian(3, 2, scale=2.0), reference.regularized_laplacian(2.0, 3)),
    (PageRank(3, 2, teleport=0.3), reference.pagerank(0.3, 3)),
]


@pytest.mark.parametrize(("coefficients", "expected"), START)
def test_where_learning_starts(coefficients: Coefficients, expected: torch.Tensor) -> None:
    single = {"rtol": 1e-5, "atol": 1e-6, "check_dtype": False}
    assert_close(coefficients(), expected.expand(2, -1), **single)
    for parameter in coefficients.parameters():
        parameter.data.add_(1.0)
    coefficients.reset_parameters()
    assert_close(coefficients(), expected.expand(2, -1), **single)


KERNELS = [
    (partial(Diffusion, scale=1.5), lambda W: torch.linalg.matrix_exp(-1.5 * (torch.eye(len(W)) - W))),
    (partial(RegularizedLaplacian, scale=1.5), lambda W: torch.linalg.inv(torch.eye(len(W)) * 2.5 - 1.5 * W)),
    (partial(PageRank, teleport=0.4), lambda W: 0.4 * torch.linalg.inv(torch.eye(len(W)) - 0.6 * W)),
]


@pytest.mark.parametrize(("alpha", "kernel"), KERNELS)
def test_long_series_are_kernels(alpha: Callable, kernel: Callable) -> None:
    topology = example_topologies()["weighted"]
    W = reference.adjacency(topology.edge_index, 13, topology.edge_weight)
    mask = PowerSeriesMask(order=80, alpha=alpha)
    assert_close(mask(topology).to_dense()[0], kernel(W), rtol=1e-10, atol=1e-10)


REFUSED = [
    (lambda: Free(-1), ValueError, "`hops` must be at least 0, got -1"),
    (lambda: Free(1.5), TypeError, "`hops` must be an integer, got float"),
    (lambda: NonNegative(2, 0), ValueError, "`heads`"),
    (lambda: Diffusion(2, scale=0.0), ValueError, "`scale`"),
    (lambda: Diffusion(2, scale=float("nan")), ValueError, "`scale`"),
    (lambda: RegularizedLaplacian(2, scale=-1.0), ValueError, "`scale`"),
    (lambda: PageRank(2, teleport=0.0), ValueError, "`teleport`"),
    (lambda: PageRank(2, teleport=1.0), ValueError, "`teleport`"),
    (lambda: PowerSeriesMask(alpha=torch.ones(5)), ValueError, "`alpha, f` must be a Coefficients class"),
    (lambda: PowerSeriesMask(order=2, alpha=Free(3, 1)), ValueError, "2 hops and 1 heads"),
    (lambda: PowerSeriesMask(alpha=lambda hops, heads: torch.ones(heads, hops + 1)), ValueError, "`alpha, f`"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(call: Callable[[], object], error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        call()


def test_coefficients_may_be_made_before_the_mask() -> None:
    made = Free(2, 3)
    mask = PowerSeriesMask(order=2, heads=3, alpha=made)
    assert mask.alpha is made
    assert [name for name, _ in mask.named_parameters()] == ["alpha.value"]


def test_repr() -> None:
    assert repr(Diffusion(3, 2)) == "Diffusion(hops=3, heads=2)"
