"""Coefficients of power series, and their roots."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import cases
import pytest
import torch
from torch import Tensor
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

FAMILIES: dict[str, Make] = {
    "free": Free,
    "non-negative": NonNegative,
    "diffusion": Diffusion,
    "1-regularized Laplacian": RegularizedLaplacian,
    "2-regularized Laplacian": partial(RegularizedLaplacian, power=2),
    "Laplacian^1/2": partial(RegularizedLaplacian, power=0.5),
    "cosine": Cosine,
    "PageRank": PageRank,
    "walk of 8 steps": PStepWalk,
    "walk of 3 steps": partial(PStepWalk, steps=3),
}
# The root of free coefficients exists for positive leading ones only.
WITH_ROOTS = {name: make for name, make in FAMILIES.items() if name != "free"}
every_family = pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
every_family_with_roots = pytest.mark.parametrize("make", WITH_ROOTS.values(), ids=WITH_ROOTS)
SINGLE = {"rtol": 1e-5, "atol": 1e-6, "check_dtype": False}


@every_family
@pytest.mark.parametrize(("hops", "heads"), [(0, 1), (1, 3), (9, 2)])
def test_values_are_their_definition(make: Make, hops: int, heads: int) -> None:
    coefficients = cases.scrambled(make(hops, heads))
    assert coefficients().shape == (heads, hops + 1)
    assert_close(coefficients(), cases.coefficients_reference(coefficients))
    assert_gradients(lambda: coefficients(), module=coefficients)


@pytest.mark.parametrize("value", [-100.0, -5.0, 0.0, 5.0, 100.0])
def test_non_negative_coefficients_stay_so(value: float) -> None:
    for name, make in FAMILIES.items():
        coefficients = make(8, 2)
        assert coefficients.nonnegative is (name not in ("free", "cosine"))
        for parameter in coefficients.parameters() if coefficients.nonnegative else ():
            parameter.data.fill_(value)
            assert (coefficients() >= 0).all()
            assert coefficients().isfinite().all()
            (gradient,) = torch.autograd.grad(coefficients().sum(), parameter)
            assert gradient.isfinite().all()


INITIAL = [
    (Free(2, 2), torch.exp(-0.01 * torch.arange(3.0))),
    (NonNegative(2, 2), torch.exp(-0.01 * torch.arange(3.0))),
    (Diffusion(3, 2, scale=2.0), reference.diffusion(2.0, 3)),
    (RegularizedLaplacian(3, 2, 2.0), reference.regularized_laplacian(2.0, 3)),
    (RegularizedLaplacian(3, 2, 2.0, power=2), reference.regularized_laplacian(2.0, 3, power=2)),
    (Cosine(3, 2), reference.cosine(math.pi / 4, 3)),
    (PageRank(3, 2, teleport=0.3), reference.pagerank(0.3, 3)),
    (PStepWalk(3, 2), reference.p_step_walk(0.5, 3, 3)),
    (PStepWalk(3, 2, scale=0.2, steps=5), reference.p_step_walk(0.2, 3, 5)),
]


@pytest.mark.parametrize(("coefficients", "expected"), INITIAL)
def test_resets_restore_initial_values(coefficients: Coefficients, expected: Tensor) -> None:
    assert_close(coefficients(), expected.expand(2, -1), **SINGLE)
    for parameter in coefficients.parameters():
        parameter.data.add_(1.0)
    coefficients.reset_parameters()
    assert_close(coefficients(), expected.expand(2, -1), **SINGLE)


def cos(symmetric: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    return vectors @ torch.diag(values.cos()) @ vectors.mT


def resolvent(W: Tensor) -> Tensor:
    return torch.linalg.inv(torch.eye(len(W)) * 2.5 - 1.5 * W)


KERNELS = [
    (partial(Diffusion, scale=1.5), lambda W: torch.matrix_exp(1.5 * (W - torch.eye(len(W))))),
    (partial(RegularizedLaplacian, scale=1.5), resolvent),
    (partial(RegularizedLaplacian, scale=1.5, power=2), lambda W: resolvent(W) @ resolvent(W)),
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
def test_lazy_walks_are_positive_definite_up_to_one_half(scale: float) -> None:
    topology = example_topologies()["ring"]  # of 7 nodes, with an eigenvalue of W near -1
    mask = PowerSeriesMask(hops=3, alpha=partial(PStepWalk, scale=scale))
    assert torch.linalg.eigvalsh(mask(topology).to_dense()[0]).min() > -1e-12


def test_masks_accept_coefficient_modules() -> None:
    alpha = Free(2, 3)
    mask = PowerSeriesMask(hops=2, heads=3, alpha=alpha)
    assert mask.alpha is alpha
    assert [name for name, _ in mask.named_parameters()] == ["alpha.value"]


LONG_ROOTS = {
    "diffusion": (partial(Diffusion, scale=3.0), lambda n: reference.diffusion(3.0 / n, 60)),
    "Laplacian": (
        RegularizedLaplacian,
        lambda n: reference.regularized_laplacian(1.0, 60, power=1 / n),
    ),
    "PageRank": (PageRank, lambda n: reference.regularized_laplacian(0.85 / 0.15, 60, power=1 / n)),
    "walk": (partial(PStepWalk, steps=60), lambda n: reference.p_step_walk(0.5, 60, 60 // n)),
}


@pytest.mark.parametrize("factors", [2, 4, 6])
@pytest.mark.parametrize(("make", "root"), LONG_ROOTS.values(), ids=LONG_ROOTS)
def test_long_roots_are_precise_in_single_precision(
    make: Make, root: Callable, factors: int
) -> None:
    """The recursion would lose digits by cancellation."""
    value = Deconvolution(make(60, 1).float(), factors)()
    assert value.dtype == torch.float32
    assert_close(value[0].double(), root(factors), rtol=1e-4, atol=1e-12)


@every_family_with_roots
@pytest.mark.parametrize("factors", [1, 2, 3, 4])
def test_roots_convolve_to_alpha_with_their_derivatives(make: Make, factors: int) -> None:
    for hops, heads in ((0, 1), (8, 2)):
        root = cases.scrambled(Deconvolution(make(hops, heads), factors))
        assert (root.hops, root.heads) == (hops, heads)
        assert_close(reference.convolution(root(), factors)[:, : hops + 1], root.alpha())
        expected = cases.coefficients_reference(root)
        assert_close(root(), expected, rtol=1e-6, atol=1e-9)
    if factors % 2 == 0:
        root = cases.scrambled(Deconvolution(make(5, 2), factors))
        assert_gradients(lambda: root(), module=root)
        expected = cases.coefficients_reference(root)
        grad_output, parameters = torch.linspace(-1, 1, 12).reshape(2, 6), list(root.parameters())
        grads = [torch.autograd.grad(x, parameters, grad_output) for x in (root(), expected)]
        assert_close(*grads)


@pytest.mark.parametrize("factors", [2, 3, 4, 5])
@pytest.mark.parametrize("steps", range(9))
def test_roots_of_walks_know_their_sign(steps: int, factors: int) -> None:
    for hops in range(9):
        alpha = PStepWalk(hops, scale=0.6, steps=steps).double()
        negative = bool((reference.deconvolution(alpha(), factors) < -1e-12).any())
        assert Deconvolution(alpha, factors).nonnegative is not negative


@pytest.mark.parametrize("factors", [2, 4, 6])
@pytest.mark.parametrize("value", [-3.0, 0.0, 3.0])
@every_family_with_roots
def test_non_negative_roots_stay_so(make: Make, value: float, factors: int) -> None:
    """Over many hops too, where rounding could make them negative."""
    unknown = (NonNegative, Cosine, WITH_ROOTS["walk of 3 steps"])
    assert Deconvolution(make(8, 1)).nonnegative is not (make in unknown)
    root = Deconvolution(make(60, 1), factors)
    for parameter in root.parameters():
        parameter.data.fill_(value)
    assert not root.nonnegative or (root() >= 0).all()


def test_roots_learn_and_reset_alpha() -> None:
    root = Deconvolution(Diffusion(3, 2, scale=2.0))
    assert [name for name, _ in root.named_parameters()] == ["alpha.log_scale"]
    root.alpha.log_scale.data.fill_(0.0)
    root.reset_parameters()
    assert_close(root.alpha.scale, torch.full((2,), 2.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, -0.25, float("nan")])
def test_free_coefficients_without_a_root_raise(value: float) -> None:
    root = Deconvolution(Free(2, 3))
    assert root().isfinite().all()
    root.alpha.value.data[1, 0] = value
    message = f"`alpha` must be positive at hop 0, or it has no root, got {value:g} in head 1"
    with pytest.raises(ValueError, match=message):
        root()
