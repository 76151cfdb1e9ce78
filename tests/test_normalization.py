"""Normalisations of weights of any finite size."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from cases.graphs import generator
from torch import Tensor
from torch.testing import assert_close

from graphmask import Topology, reference
from graphmask.masks import DiffusionMask, SeparatorMask
from graphmask.masks.degree import relative_log_degree

N, E = 9, 25
EDGES = torch.cartesian_prod(torch.arange(N), torch.arange(N))[
    torch.randperm(N * N, generator=generator())[:E]
].mT
NORMALIZATIONS = ("sym", "rw")


def sizes(dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights of both signs: at the ends of the range, or all over it."""
    unit = torch.rand(E, generator=generator(1)) * torch.linspace(-1, 2, E).sign() + 0.1
    info = torch.finfo(dtype)
    span = torch.tensor(info.max).log2().floor() * 0.9
    exponent = torch.rand(N, generator=generator(2)) * 2 - 1
    return {
        "usual": unit,
        "huge": unit * (0.9 * info.max),
        "tiny": unit * (4 * info.tiny),
        "denormal": unit * (info.tiny / 2),
        "by source": unit * torch.exp2(span * exponent)[EDGES[0]],
        "by target": unit * torch.exp2(span * exponent)[EDGES[1]],
    }


def normalized(weight: Tensor, normalization: str) -> Tensor:
    pattern, value = Topology(EDGES, N, weight).adjacency(normalization)
    return pattern.to_dense(value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("size", sizes(torch.float32))
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_weights_of_any_size(size: str, dtype: torch.dtype, normalization: str) -> None:
    weight = sizes(dtype)[size].to(dtype).requires_grad_()
    exact = weight.detach().double().requires_grad_()
    cotangent = torch.rand(N, N, generator=generator(3))
    value = normalized(weight, normalization)
    expected = reference.adjacency(EDGES, N, exact, normalization)
    assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
    (grad,) = torch.autograd.grad((value.double() * cotangent).sum(), weight)
    (exact_grad,) = torch.autograd.grad((expected * cotangent).sum(), exact)
    # Beyond the range of the type, the gradient is infinite; it cancels to within the rounding of
    # its largest term, one over the smallest sum.
    assert not grad.isnan().any()
    largest = torch.finfo(dtype).max
    error = (grad.double().clamp(-largest, largest) - exact_grad.clamp(-largest, largest)).abs()
    sums = [exact.detach().abs().new_zeros(N).index_add(0, ends, exact.detach().abs())[ends]
            for ends in EDGES]  # fmt: skip
    scale = sum(1 / total for total in sums) + exact_grad.abs()
    assert bool((error <= 0.02 * scale).all())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_scaling_all_weights_changes_nothing(normalization: str) -> None:
    weight = sizes(torch.float64)["usual"]
    expected = normalized(weight, normalization)
    for factor in (2.0**1020, 2.0**-1000):
        assert_close(normalized(weight * factor, normalization), expected, rtol=0, atol=0)


WITHOUT_WEIGHT: dict[str, Callable[[Tensor], Tensor]] = {
    "all": torch.zeros_like,
    "into a node": lambda weight: weight * (EDGES[1] != 3),
    "out of a node": lambda weight: weight * (EDGES[0] != 3),
    "around a node": lambda weight: weight * (EDGES != 3).all(0),
    "but a loop": lambda weight: weight * ((EDGES != 3).all(0) | (EDGES == 3).all(0)),
    "some": lambda weight: weight * (torch.arange(E) % 3 > 0),
}


@pytest.mark.parametrize("change", WITHOUT_WEIGHT.values(), ids=WITHOUT_WEIGHT)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_nodes_without_weight_have_zeros_and_no_gradient(
    change: Callable[[Tensor], Tensor], normalization: str
) -> None:
    """W jumps there to the sign of a weight of any other size, and so has no derivative."""
    weight = change(sizes(torch.float64)["usual"].double()).requires_grad_()
    cotangent = torch.rand(N, N, generator=generator(3), dtype=torch.float64)
    value = normalized(weight, normalization)
    expected = reference.adjacency(EDGES, N, weight, normalization)
    assert_close(value, expected)
    grad, exact = (torch.autograd.grad((W * cotangent).sum(), weight)[0] for W in (value, expected))
    assert_close(grad, exact)
    size = weight.detach().abs()
    source, target = (size.new_zeros(N).index_add(0, ends, size)[ends] == 0 for ends in EDGES)
    assert not grad[target | (source & (normalization == "sym"))].any()


def test_sums_of_parallel_edges_that_overflow_are_refused() -> None:
    weight = torch.full((2,), 2e38, dtype=torch.float32)
    make = partial(Topology, num_nodes=2)
    message = "`edge_weight` must be of parallel edges whose sum is within torch.float32"
    with pytest.raises(ValueError, match=message):
        make(torch.tensor([[0, 0], [1, 1]]), edge_weight=weight)
    assert make(torch.tensor([[0, 1], [1, 0]]), edge_weight=weight).nonnegative
    make(torch.tensor([[0, 0], [1, 1]]), edge_weight=weight * torch.tensor([1.0, -1.0]).float())
    with pytest.raises(ValueError, match="`edge_weight` must be finite"):
        make(torch.tensor([[0], [1]]), edge_weight=torch.tensor([torch.inf]))


def test_masks_of_huge_weights() -> None:
    weight = torch.full((4,), 2e38, dtype=torch.float32)
    graph = Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3, weight)
    degree = relative_log_degree(graph)
    assert_close(degree, torch.tensor([2e38, 4e38, 2e38]).log1p().float() / math.log(4e38))
    assert_close(SeparatorMask().float()(graph) @ torch.eye(3), torch.eye(3).unsqueeze(0))
    with pytest.raises(ValueError, match=r"`scale` must be below .* over the norm of W"):
        DiffusionMask(normalization=None)(graph)
