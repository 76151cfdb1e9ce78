from __future__ import annotations

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
    PStepWalk,
    RegularizedLaplacian,
)
from graphmask.testing import assert_gradients

Make = Callable[[int, int], Coefficients]

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


class Given(Coefficients):
    """Coefficients that are told."""

    nonnegative = False

    def __init__(self, alpha: Tensor) -> None:
        super().__init__(len(alpha) - 1)
        self.alpha = torch.nn.Parameter(alpha)

    def forward(self) -> Tensor:
        return self.alpha.unsqueeze(0)

    def reset_parameters(self) -> None:
        pass


def odd_over_even(k: Tensor) -> Tensor:
    """``(2k - 1)!! / (2k)!!``."""
    return torch.cat([torch.ones(1), ((2 * k[1:] - 1) / (2 * k[1:])).cumprod(0)])


def factorial(k: Tensor) -> Tensor:
    return k.clamp(min=1).cumprod(0)


K = torch.arange(10.0, dtype=torch.float64)


def padded(*values: float) -> Tensor:
    return torch.cat(
        [
            torch.tensor(values, dtype=torch.float64),
            torch.zeros(10 - len(values), dtype=torch.float64),
        ]
    )


PUBLISHED = {
    "1-regularised Laplacian": (torch.ones_like(K), odd_over_even),
    "2-regularised Laplacian": (K + 1, torch.ones_like),
    "2-step walk": (padded(1, 2, 1), lambda k: padded(1, 1)),
    "diffusion": (1 / factorial(K), lambda k: 1 / (2**k * factorial(k))),
}


@pytest.mark.parametrize(("alpha", "f"), PUBLISHED.values(), ids=PUBLISHED)
def test_published_kernels(alpha: Tensor, f: Callable[[Tensor], Tensor]) -> None:
    assert_close(Deconvolution(Given(alpha))()[0], f(K))


LEARNED = {
    "diffusion": (partial(Diffusion, scale=3.0), lambda n: reference.diffusion(3.0 / n, 9)),
    "Laplacian": (
        partial(RegularizedLaplacian, scale=2.0, power=3),
        lambda n: reference.regularized_laplacian(2.0, 9, power=3 / n),
    ),
    "walk": (
        partial(PStepWalk, scale=0.3, steps=12),
        lambda n: reference.p_step_walk(0.3, 9, 12 // n),
    ),
}


@pytest.mark.parametrize("factors", [1, 2, 4, 6])
@pytest.mark.parametrize(("make", "root"), LEARNED.values(), ids=LEARNED)
def test_families_have_roots_of_their_own_kind(
    make: Make, root: Callable[[int], Tensor], factors: int
) -> None:
    assert_close(Deconvolution(make(9, 1), factors)()[0], root(factors))


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
def test_derivatives(make: Make, factors: int) -> None:
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
def test_what_is_called_non_negative_stays_so(make: Make, value: float, factors: int) -> None:
    """Over many hops too, where rounding could."""
    root = Deconvolution(make(60, 1), factors)
    for parameter in root.parameters():
        parameter.data.fill_(value)
    assert not root.nonnegative or (root() >= 0).all()


def test_which_are_called_non_negative() -> None:
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


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Deconvolution(Diffusion), TypeError, "`alpha` must be Coefficients"),
    (lambda: Deconvolution(torch.ones(3)), TypeError, "`alpha` must be Coefficients"),
    (lambda: Deconvolution(Diffusion(2), 0), ValueError, "`factors` must be at least 1"),
    (lambda: Deconvolution(Diffusion(2), 2.0), TypeError, "`factors`"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        call()
