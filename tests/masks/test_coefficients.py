"""Coefficients of power series, and their roots."""

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
    Deconvolution,
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


FAMILIES: dict[str, Make] = {
    "diffusion": Diffusion,
    "1-regularised Laplacian": RegularizedLaplacian,
    "2-regularised Laplacian": partial(RegularizedLaplacian, power=2),
    "PageRank": PageRank,
    "walk of 8 steps": PStepWalk,
    "walk of 3 steps": partial(PStepWalk, steps=3),
    "cosine": Cosine,
    "non-negative": NonNegative,
}
every_family = pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)


FAR = {
    "diffusion": (partial(Diffusion, scale=3.0), lambda n: reference.diffusion(3.0 / n, 60)),
    "Laplacian": (
        RegularizedLaplacian,
        lambda n: reference.regularized_laplacian(1.0, 60, power=1 / n),
    ),
    "PageRank": (PageRank, lambda n: reference.regularized_laplacian(0.85 / 0.15, 60, power=1 / n)),
    "walk": (partial(PStepWalk, steps=60), lambda n: reference.p_step_walk(0.5, 60, 60 // n)),
}


@pytest.mark.parametrize("factors", [2, 4, 6])
@pytest.mark.parametrize(("make", "root"), FAR.values(), ids=FAR)
def test_families_lose_nothing_over_many_hops_in_single_precision(
    make: Make, root: Callable, factors: int
) -> None:
    """The recursion would: its numbers cancel."""
    found = Deconvolution(make(60, 1).float(), factors)()
    assert found.dtype == torch.float32
    assert_close(found[0].double(), root(factors), rtol=1e-4, atol=1e-12)


@every_family
@pytest.mark.parametrize("factors", [1, 2, 3, 4])
@pytest.mark.parametrize(("hops", "heads"), [(0, 1), (8, 2)])
def test_the_convolution_of_the_root_is_alpha(
    make: Make, factors: int, hops: int, heads: int
) -> None:
    root = cases.scrambled(Deconvolution(make(hops, heads), factors))
    assert (root.hops, root.heads) == (hops, heads)
    assert_close(reference.convolution(root(), factors)[:, : hops + 1], root.alpha())
    assert_close(root(), cases.coefficients_reference(root), rtol=1e-6, atol=1e-9)


@every_family
@pytest.mark.parametrize("factors", [2, 4])
def test_derivatives_of_roots(make: Make, factors: int) -> None:
    root = cases.scrambled(Deconvolution(make(5, 2), factors))
    assert_gradients(lambda: root(), module=root)
    above = torch.linspace(-1, 1, 12).reshape(2, 6)
    expected = cases.coefficients_reference(root)
    parameters = list(root.parameters())
    assert_close(
        torch.autograd.grad(root(), parameters, above),
        torch.autograd.grad(expected, parameters, above),
    )


@pytest.mark.parametrize("factors", [2, 3, 4, 5])
@pytest.mark.parametrize("steps", range(9))
def test_what_is_told_of_the_sign_of_a_walk_is_true_and_complete(steps: int, factors: int) -> None:
    for hops in range(9):
        alpha = PStepWalk(hops, scale=0.6, steps=steps).double()
        negative = bool((reference.deconvolution(alpha(), factors) < -1e-12).any())
        assert Deconvolution(alpha, factors).nonnegative is not negative


@pytest.mark.parametrize("factors", [2, 4, 6])
@pytest.mark.parametrize("value", [-3.0, 0.0, 3.0])
@every_family
def test_roots_that_are_called_non_negative_stay_so(make: Make, value: float, factors: int) -> None:
    """Over many hops too, where rounding could."""
    root = Deconvolution(make(60, 1), factors)
    for parameter in root.parameters():
        parameter.data.fill_(value)
    assert not root.nonnegative or (root() >= 0).all()


def test_which_roots_are_called_non_negative() -> None:
    known = {name for name, make in FAMILIES.items() if Deconvolution(make(8, 1)).nonnegative}
    assert known == {
        "diffusion",
        "1-regularised Laplacian",
        "2-regularised Laplacian",
        "PageRank",
        "walk of 8 steps",
    }


@every_family
def test_single_precision_is_that_of_alpha(make: Make) -> None:
    root = Deconvolution(make(8, 2), 4)
    expected = root()
    assert_close(root.float()(), expected, rtol=1e-3, atol=1e-6, check_dtype=False)
    assert root().dtype == torch.float32


def test_it_learns_and_is_reset_as_alpha() -> None:
    root = Deconvolution(Diffusion(3, 2, scale=2.0))
    assert [name for name, _ in root.named_parameters()] == ["alpha.log_scale"]
    root.alpha.log_scale.data.fill_(0.0)
    root.reset_parameters()
    assert_close(root.alpha.scale, torch.full((2,), 2.0), rtol=1e-6, atol=0)
    assert repr(root) == "Deconvolution(Diffusion(hops=3, heads=2), factors=2)"


@pytest.mark.parametrize("value", [0.0, -0.25, float("nan")])
def test_free_coefficients_may_be_learned_to_have_no_root(value: float) -> None:
    root = Deconvolution(Free(2, 3))
    assert root().isfinite().all()
    root.alpha.value.data[1, 0] = value
    with pytest.raises(
        ValueError,
        match=f"`alpha` must be positive at hop 0, or it has no root, got {value:g} in head 1",
    ):
        root()
