from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import reference
from graphmask.masks import (
    Coefficients,
    Cosine,
    Diffusion,
    Free,
    NonNegative,
    PageRank,
    PowerSeriesMask,
    PStepWalk,
    RegularizedLaplacian,
)
from graphmask.testing import assert_gradients, example_topologies

Make = Callable[[int, int], Coefficients]

KINDS: dict[str, Make] = {
    **{
        kind.__name__: kind
        for kind in (
            Free,
            NonNegative,
            Diffusion,
            RegularizedLaplacian,
            Cosine,
            PageRank,
            PStepWalk,
        )
    },
    "2-regularised Laplacian": partial(RegularizedLaplacian, power=2),
    "Laplacian^1/2": partial(RegularizedLaplacian, power=0.5),
    "3-step walk": partial(PStepWalk, steps=3),
}
POSITIVE = {name: make for name, make in KINDS.items() if make(1, 1).nonnegative}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_positive_kind = pytest.mark.parametrize("kind", POSITIVE.values(), ids=POSITIVE)


@every_kind
@pytest.mark.parametrize(("hops", "heads"), [(0, 1), (1, 3), (9, 2)])
def test_values_and_derivatives(kind: Make, hops: int, heads: int) -> None:
    coefficients = cases.scrambled(kind(hops, heads))
    assert coefficients().shape == (heads, hops + 1)
    assert_close(coefficients(), cases.coefficients_reference(coefficients))
    assert_gradients(lambda: coefficients(), module=coefficients)


@every_positive_kind
@pytest.mark.parametrize("value", [-100.0, -5.0, 0.0, 5.0, 100.0])
def test_what_is_called_non_negative_stays_so(kind: Make, value: float) -> None:
    coefficients = kind(8, 2)
    for parameter in coefficients.parameters():
        parameter.data.fill_(value)
    assert (coefficients() >= 0).all()
    assert coefficients().isfinite().all()
    coefficients().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in coefficients.parameters())


def test_which_are_called_non_negative() -> None:
    assert set(KINDS) - set(POSITIVE) == {"Free", "Cosine"}


START = [
    (Free(2, 2), torch.exp(-0.01 * torch.arange(3.0))),
    (NonNegative(2, 2), torch.exp(-0.01 * torch.arange(3.0))),
    (Diffusion(3, 2, scale=2.0), reference.diffusion(2.0, 3)),
    (RegularizedLaplacian(3, 2, scale=2.0), reference.regularized_laplacian(2.0, 3)),
    (
        RegularizedLaplacian(3, 2, scale=2.0, power=2),
        reference.regularized_laplacian(2.0, 3, power=2),
    ),
    (Cosine(3, 2), reference.cosine(math.pi / 4, 3)),
    (PageRank(3, 2, teleport=0.3), reference.pagerank(0.3, 3)),
    (PStepWalk(3, 2), reference.p_step_walk(0.5, 3, 3)),
    (PStepWalk(3, 2, scale=0.2, steps=5), reference.p_step_walk(0.2, 3, 5)),
]


@pytest.mark.parametrize(("coefficients", "expected"), START)
def test_where_learning_starts(coefficients: Coefficients, expected: torch.Tensor) -> None:
    single = {"rtol": 1e-5, "atol": 1e-6, "check_dtype": False}
    assert_close(coefficients(), expected.expand(2, -1), **single)
    for parameter in coefficients.parameters():
        parameter.data.add_(1.0)
    coefficients.reset_parameters()
    assert_close(coefficients(), expected.expand(2, -1), **single)


def cos(symmetric: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    return vectors @ torch.diag(values.cos()) @ vectors.mT


KERNELS = [
    (
        partial(Diffusion, scale=1.5),
        lambda W: torch.linalg.matrix_exp(-1.5 * (torch.eye(len(W)) - W)),
    ),
    (
        partial(RegularizedLaplacian, scale=1.5),
        lambda W: torch.linalg.inv(torch.eye(len(W)) * 2.5 - 1.5 * W),
    ),
    (
        partial(RegularizedLaplacian, scale=1.5, power=2),
        lambda W: torch.linalg.matrix_power(torch.linalg.inv(torch.eye(len(W)) * 2.5 - 1.5 * W), 2),
    ),
    (Cosine, lambda W: 2**0.5 * cos(math.pi / 4 * (torch.eye(len(W)) - W))),
    (
        partial(PStepWalk, scale=0.3, steps=5),
        lambda W: torch.linalg.matrix_power(0.7 * torch.eye(len(W)) + 0.3 * W, 5),
    ),
    (
        partial(PageRank, teleport=0.4),
        lambda W: 0.4 * torch.linalg.inv(torch.eye(len(W)) - 0.6 * W),
    ),
]


@pytest.mark.parametrize(("alpha", "kernel"), KERNELS)
def test_long_series_are_kernels(alpha: Callable, kernel: Callable) -> None:
    topology = example_topologies()["weighted"]
    W = reference.adjacency(topology.edge_index, 13, topology.edge_weight)
    mask = PowerSeriesMask(hops=80, alpha=alpha)
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
    (lambda: RegularizedLaplacian(2, power=0), ValueError, "`power` must be positive, got 0"),
    (lambda: RegularizedLaplacian(2, power="2"), TypeError, "`power`"),
    (lambda: Cosine(2, scale=float("inf")), ValueError, "`scale`"),
    (lambda: PStepWalk(2, scale=1.0), ValueError, "`scale` must be between 0 and 1, got 1.0"),
    (lambda: PStepWalk(2, scale=True), TypeError, "`scale`"),
    (lambda: PStepWalk(2, steps=-1), ValueError, "`steps`"),
    (lambda: PStepWalk(2, steps=1.5), TypeError, "`steps`"),
    (
        lambda: PowerSeriesMask(alpha=torch.ones(5)),
        ValueError,
        "`alpha, f` must be a Coefficients class",
    ),
    (lambda: PowerSeriesMask(hops=2, alpha=Free(3, 1)), ValueError, "2 hops and 1 heads"),
    (
        lambda: PowerSeriesMask(alpha=lambda hops, heads: torch.ones(heads, hops + 1)),
        ValueError,
        "`alpha, f`",
    ),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        call()


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_a_lazy_walk_is_definite_up_to_one_half(scale: float) -> None:
    topology = example_topologies()["ring"]  # of 7 nodes, with an eigenvalue of W near -1
    mask = PowerSeriesMask(hops=3, alpha=partial(PStepWalk, scale=scale))
    assert torch.linalg.eigvalsh(mask(topology).to_dense()[0]).min() > -1e-12


def test_coefficients_may_be_made_before_the_mask() -> None:
    made = Free(2, 3)
    mask = PowerSeriesMask(hops=2, heads=3, alpha=made)
    assert mask.alpha is made
    assert [name for name, _ in mask.named_parameters()] == ["alpha.value"]


def test_repr() -> None:
    assert repr(Diffusion(3, 2)) == "Diffusion(hops=3, heads=2)"
